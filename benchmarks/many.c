/* Many containers at once for each line on stdin; answers with the nanoseconds of starting and of ending
 * them.
 *
 * many OPTIONS [-n NUMBER] [-j WORKERS] -- PROGRAM ARGUMENT... */
#define _GNU_SOURCE
#include "container.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORKERS = 64 };

struct lap {
    int64_t started, ended;
};

/* The workers meet twice, so that nobody ends a container while another still starts one. */
static void work(const struct recipe *recipe, int number, struct lap *lap, int arrived, int go)
{
    struct container *containers = calloc((size_t)number, sizeof *containers);
    char name[64], word;

    for (int i = 0; i < number; i++) {
        snprintf(name, sizeof name, "many-%d-%d", getpid(), i);
        start(recipe, &containers[i], name);
    }
    lap->started = now();
    if (write(arrived, "x", 1) != 1 || read(go, &word, 1) != 1)
        die("meet the others");
    for (int i = 0; i < number; i++)
        kill(containers[i].pid, SIGKILL);
    for (int i = 0; i < number; i++) {
        reap(&containers[i]);
        take_away(&containers[i]);
        delete_tree(containers[i].trash);
    }
    lap->ended = now();
    _exit(0);
}

static void run_lap(const struct recipe *recipe, int number, int workers, struct lap *laps)
{
    int arrived[2], go[2], status;
    char words[MOST_WORKERS] = {0};
    pid_t pids[MOST_WORKERS];
    int64_t began = now(), middle, started = 0, ended = 0;

    if (pipe(arrived) < 0 || pipe(go) < 0)
        die("pipe");
    for (int i = 0; i < workers; i++) {
        int share = number / workers + (i < number % workers);
        if ((pids[i] = fork()) == 0)
            work(recipe, share, &laps[i], arrived[1], go[0]);
    }
    close(arrived[1]); /* so that a worker that failed is noticed */
    for (int here = 0; here < workers;) {
        ssize_t n = read(arrived[0], words, sizeof words);
        if (n <= 0)
            die("a worker failed");
        here += (int)n;
    }
    middle = now();
    if (write(go[1], words, (size_t)workers) != workers)
        die("let them go on");
    for (int i = 0; i < workers; i++)
        if (waitpid(pids[i], &status, 0) < 0 || status)
            die("a worker failed");
    for (int i = 0; i < workers; i++) {
        started = laps[i].started > started ? laps[i].started : started;
        ended = laps[i].ended > ended ? laps[i].ended : ended;
    }
    close(arrived[0]);
    close(go[0]);
    close(go[1]);
    printf("%lld start=%lld end=%lld\n", (long long)(started - began + ended - middle),
           (long long)(started - began), (long long)(ended - middle));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct recipe recipe = {0};
    char line[64];
    int number = 500, workers = 8, option;

    while ((option = getopt(argc, argv, RECIPE_OPTIONS "n:j:")) != -1) {
        if (option == 'n')
            number = atoi(optarg);
        else if (option == 'j')
            workers = atoi(optarg);
        else if (!read_option(&recipe, option, optarg))
            return 2;
    }
    if (workers < 1 || workers > MOST_WORKERS)
        return 2;
    recipe.argv = argv + optind;
    struct lap *laps =
        mmap(NULL, MOST_WORKERS * sizeof *laps, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        run_lap(&recipe, number, workers, laps);
    return 0;
}
