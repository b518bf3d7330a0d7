/* A container for each line on stdin; answers with nanoseconds, phase by phase after the total.
 *
 * run OPTIONS [-L LOG] [-b MEBIBYTES] -- PROGRAM ARGUMENT... */
#define _GNU_SOURCE
#include "container.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const names[PHASES] = {"directories", "cgroups", "clone",      "overlay", "mounts",
                                          "covers",      "pivot",   "privileges", "program", "removal"};

/* Memory as a large host program has it: touched, in small pages. */
static void be_large(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    madvise(memory, size, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
}

static void answer(int64_t began)
{
    int64_t before = began;

    printf("%lld", (long long)(stamps[REMOVAL] - began));
    for (int phase = 0; phase < PHASES; before = stamps[phase++])
        printf(" %s=%lld", names[phase], (long long)(stamps[phase] - before));
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct recipe recipe = {0};
    char line[64], name[64];
    int log = -1, option;

    while ((option = getopt(argc, argv, RECIPE_OPTIONS "L:b:")) != -1) {
        if (option == 'L')
            log = open(optarg, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        else if (option == 'b')
            be_large((size_t)atol(optarg) << 20);
        else if (!read_option(&recipe, option, optarg))
            return 2;
    }
    recipe.argv = argv + optind;
    puts("ready");
    fflush(stdout);
    for (int i = 0; fgets(line, sizeof line, stdin); i++) {
        struct container container;
        int64_t began = now();

        snprintf(name, sizeof name, "run-%d-%d", getpid(), i);
        start(&recipe, &container, name);
        drain(container.out, container.err, log);
        if (reap(&container) != 0)
            die("the program failed");
        stamps[PROGRAM] = now();
        take_away(&container);
        stamps[REMOVAL] = now();
        answer(began);
        delete_tree(container.trash);
    }
    return 0;
}
