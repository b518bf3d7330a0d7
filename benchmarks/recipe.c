/* The options that say what a measurement's containers are made of. */
#include "container.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* /proc and /sys have the same paths in a container as here: which of them exist is known beforehand. */
static void read_paths(struct path *paths, const char *list)
{
    char *copy = strdup(list), *left = copy;
    int n = 0;

    for (char *path; (path = strsep(&left, ":")) && n < MOST_PATHS - 1;) {
        struct stat found;

        if (*path == '/' && stat(path, &found) == 0)
            paths[n++] = (struct path){.name = path + 1, .is_directory = S_ISDIR(found.st_mode)};
    }
    paths[n].name = NULL;
}

static struct sock_fprog read_filter(const char *path)
{
    static struct sock_filter instructions[BPF_MAXINSNS];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(file, instructions, sizeof instructions);

    if (n <= 0)
        die("read the filter");
    close(file);
    return (struct sock_fprog){.len = (unsigned short)((size_t)n / sizeof *instructions),
                               .filter = instructions};
}

int read_option(struct recipe *recipe, int option, const char *value)
{
    switch (option) {
    case 'l':
        recipe->lowers = value;
        return 1;
    case 'd':
        recipe->directory = value;
        return 1;
    case '2':
        recipe->v2 = value;
        return 1;
    case '1':
        recipe->pids = value;
        return 1;
    case 'm':
        read_paths(recipe->masked, value);
        return 1;
    case 'r':
        read_paths(recipe->locked, value);
        return 1;
    case 'c':
        recipe->capabilities = strtoull(value, NULL, 16);
        return 1;
    case 'f':
        recipe->filter = read_filter(value);
        return 1;
    case 'u':
        recipe->rootless = 1;
        return 1;
    case 'F':
        recipe->filter_flags = (unsigned)strtoul(value, NULL, 10);
        return 1;
    }
    return 0;
}
