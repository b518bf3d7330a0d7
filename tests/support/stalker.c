/* Somebody in a container who lies in wait for whoever joins it, until SIGTERM; then it tells as JSON.
 *
 *     stalker PATH     PATH is a file of the host's to reach for
 *
 * A process that joins is a program of the engine's until it becomes its own.  In that time we try to get
 * hold of its memory, its descriptors, and of the host by way of them.
 *
 *   met        how many were seen before they were their own program
 *   memory     how many of these had their memory opened for writing
 *   traced     how many could be traced
 *   mightier   how many of these had capabilities that we have not
 *   listed     how many had their descriptors listed
 *   links      what these descriptors were called, each name once
 *   texts      how many held "python" or "Python" in their memory
 *   escapes    how many times PATH was opened by way of one of them
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { MOST_LINKS = 200, LONGEST = 4096 };

static long met, memory, traced, mightier, listed, texts, escapes;
static char links[MOST_LINKS][128];
static int known;
static const char *wanted;

/* 1 if it is the engine's still, 0 if not, -1 if we may not know. */
static int is_engine(int pid)
{
    char name[64], where[LONGEST];

    snprintf(name, sizeof name, "/proc/%d/exe", pid);
    ssize_t n = readlink(name, where, sizeof where - 1);
    if (n < 0)
        return errno == ENOENT || errno == ESRCH ? 0 : -1;
    where[n] = 0;
    return !strncmp(where, "/memfd:", 7) || strstr(where, "python") || strstr(where, "joiner");
}

static void remember(const char *link)
{
    char bare[128];

    snprintf(bare, sizeof bare, "%.100s", link);
    for (char *c = bare; *c; c++) /* "pipe:[123]" and "pipe:[124]" are one */
        if (*c >= '0' && *c <= '9')
            *c = '#';
    for (int i = 0; i < known; i++)
        if (!strcmp(links[i], bare))
            return;
    if (known < MOST_LINKS)
        strcpy(links[known++], bare);
}

/* PATH is nowhere in the container: whoever leads to it leads to the host. */
static void reach_by(int pid, const char *what)
{
    char way[LONGEST * 2];

    snprintf(way, sizeof way, "/proc/%d/%s/../../../../../../../../../..%s", pid, what, wanted);
    int reached = open(way, O_RDONLY | O_CLOEXEC);
    if (reached < 0)
        return;
    escapes++;
    close(reached);
}

static void descriptors(int pid)
{
    char name[300], where[LONGEST];
    const struct dirent *entry;

    reach_by(pid, "root");
    reach_by(pid, "cwd");
    snprintf(name, sizeof name, "/proc/%d/fd", pid);
    DIR *directory = opendir(name);
    if (!directory)
        return;
    int seen = 0;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t n = readlinkat(dirfd(directory), entry->d_name, where, sizeof where - 1);
        snprintf(name, sizeof name, "fd/%s", entry->d_name);
        reach_by(pid, name);
        if (n < 0 || is_engine(pid) != 1) /* we may not, or it is its own program by now */
            continue;
        seen = 1;
        where[n] = 0;
        remember(where);
    }
    listed += seen;
    closedir(directory);
}

static int holds(const char *bytes, ssize_t n, const char *word)
{
    return n > 0 && memmem(bytes, (size_t)n, word, strlen(word));
}

static void read_all(int pid, int mem)
{
    char name[64], line[512];
    static char bytes[1 << 20];
    int found = 0;

    snprintf(name, sizeof name, "/proc/%d/maps", pid);
    FILE *maps = fopen(name, "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        for (; from < to; from += sizeof bytes) {
            size_t size = to - from < sizeof bytes ? to - from : sizeof bytes;
            ssize_t n = pread(mem, bytes, size, (off_t)from);
            found |= holds(bytes, n, "python") || holds(bytes, n, "Python");
        }
    }
    if (maps)
        fclose(maps);
    texts += found;
}

/* Open its memory; it counts if it was the engine's still when we had it. */
static void reach_memory(int pid)
{
    char name[64];

    snprintf(name, sizeof name, "/proc/%d/mem", pid);
    int mem = open(name, O_RDWR | O_CLOEXEC);
    if (mem >= 0 && is_engine(pid) == 1) {
        memory++;
        read_all(pid, mem);
    }
    if (mem >= 0)
        close(mem);
}

/* What a process may do: CapPrm of proc_pid_status(5). */
static unsigned long rights(const char *status)
{
    char line[512];
    unsigned long mask = 0;
    FILE *file = fopen(status, "re");

    while (file && fgets(line, sizeof line, file))
        sscanf(line, "CapPrm: %lx", &mask);
    if (file)
        fclose(file);
    return mask;
}

static void compare_rights(int pid)
{
    char name[64];

    snprintf(name, sizeof name, "/proc/%d/status", pid);
    mightier += (rights(name) & ~rights("/proc/self/status")) != 0;
}

/* Stop it where it stands and look at all it has. */
static int trace(int pid)
{
    int status;

    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
        return 0;
    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
    waitpid(pid, &status, __WALL);
    if (is_engine(pid) == 1) {
        traced++;
        compare_rights(pid);
        reach_memory(pid);
        descriptors(pid);
    }
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    return 1;
}

static void stalk(int pid)
{
    if (is_engine(pid) == 0)
        return;
    met++;
    for (int tries = 0; tries < 10000 && is_engine(pid) != 0; tries++) {
        if (trace(pid))
            return;
        reach_memory(pid);
        descriptors(pid);
    }
}

static volatile sig_atomic_t over;

static void stop(int sig)
{
    (void)sig;
    over = 1;
}

int main(int argc, char **argv)
{
    int next = getpid() + 1;

    wanted = argc > 1 ? argv[1] : "/";
    signal(SIGTERM, stop);
    printf("waiting\n");
    fflush(stdout);
    while (!over)
        for (int ahead = 0; ahead < 3; ahead++) /* one may have come and gone before we looked */
            if (kill(next + ahead, 0) == 0 || errno != ESRCH) {
                stalk(next + ahead);
                next += ahead + 1;
                break;
            }
    printf("{\"met\":%ld,\"memory\":%ld,\"traced\":%ld,\"mightier\":%ld,\"listed\":%ld,", met, memory, traced,
           mightier, listed);
    printf("\"texts\":%ld,\"escapes\":%ld,", texts, escapes);
    printf("\"links\":[");
    for (int i = 0; i < known; i++)
        printf("%s\"%s\"", i ? "," : "", links[i]);
    printf("]}\n");
    return 0;
}
