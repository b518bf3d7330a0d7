/* Work for the spawner threads. */
#pragma once
#include "internal.h"
#include <pthread.h>

enum { BIRTH_STACK = 256 * 1024 };

/* One piece of it; whoever begins it has to end it. */
struct job {
    int (*work)(void *arg, char *stack_top);
    void *arg;
    struct job *next;
    int answer;
    int done;
    pthread_cond_t finished;
};

/* Have job->work(job->arg) done on a long-lived thread: -errno if there can be none. */
int begin_job(struct job *job);

/* Wait until it is done, and give its answer. */
int end_job(struct job *job);

/* Both at once. */
int on_spawner(int (*work)(void *arg, char *stack_top), void *arg);
