/* The threads on which children are born.
 *
 * A child that asked for PDEATHSIG dies with the *thread* that cloned it
 * (prctl(2)), and while it borrows our memory that thread sleeps.  So births
 * happen on a few threads of our own, which live as long as the process and
 * whose namespaces nobody else sees.  They come when first needed, and a fork
 * of the host program starts without any. */
#include "spawner.h"
#include <sys/mman.h>

enum { MOST_SPAWNERS = 4, GUARD = 64 * 1024, THREAD_STACK = 128 * 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wanted = PTHREAD_COND_INITIALIZER;
static struct job *first, **last = &first;
static int spawners, idle, waiting;

static struct job *next_job(void)
{
    pthread_mutex_lock(&lock);
    idle++;
    while (!first)
        pthread_cond_wait(&wanted, &lock);
    idle--;
    waiting--;
    struct job *job = first;
    first = job->next;
    if (!first)
        last = &first;
    pthread_mutex_unlock(&lock);
    return job;
}

static void *spawner(void *stack)
{
    for (;;) {
        struct job *job = next_job();

        job->answer = job->work(job->arg, (char *)stack + GUARD + BIRTH_STACK);
        pthread_mutex_lock(&lock);
        job->done = 1;
        pthread_cond_signal(&job->finished);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* Called with the lock held and every signal blocked, so that the thread takes none of the host program's. */
static int start_spawner(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    char *stack = mmap(NULL, GUARD + BIRTH_STACK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (stack == MAP_FAILED)
        return -ENOMEM;
    if (mprotect(stack + GUARD, BIRTH_STACK, PROT_READ | PROT_WRITE) < 0) {
        munmap(stack, GUARD + BIRTH_STACK);
        return -ENOMEM;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    int error = pthread_create(&thread, &attributes, spawner, stack);
    pthread_attr_destroy(&attributes);
    if (error) {
        munmap(stack, GUARD + BIRTH_STACK);
        return -error;
    }
    spawners++;
    return 0;
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void) /* the threads stayed behind */
{
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wanted, NULL);
    first = NULL;
    last = &first;
    spawners = idle = waiting = 0;
}

int begin_job(struct job *job)
{
    static int registered;
    sigset_t all, before;
    int started = 0;

    pthread_cond_init(&job->finished, NULL);
    job->next = NULL;
    job->done = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&lock);
    if (!registered)
        registered = !pthread_atfork(before_fork, in_parent, in_child);
    if (idle <= waiting && spawners < MOST_SPAWNERS)
        started = start_spawner();
    if (spawners) {
        *last = job;
        last = &job->next;
        waiting++;
        pthread_cond_signal(&wanted);
        started = 0;
    }
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

int end_job(struct job *job)
{
    pthread_mutex_lock(&lock);
    while (!job->done)
        pthread_cond_wait(&job->finished, &lock);
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&job->finished);
    return job->answer;
}

int on_spawner(int (*work)(void *arg, char *stack_top), void *arg)
{
    struct job job = {.work = work, .arg = arg};

    TRY(begin_job(&job));
    return end_job(&job);
}
