/* Becoming the container's program: the search of PATH, inside the container's root. */
#include "internal.h"

enum { LONGEST = 4096 };

static const char *path_of(char **envp)
{
    for (; *envp; envp++) {
        const char *e = *envp;

        if (e[0] == 'P' && e[1] == 'A' && e[2] == 'T' && e[3] == 'H' && e[4] == '=')
            return e + 5;
    }
    return "";
}

static int has_slash(const char *name)
{
    for (; *name; name++)
        if (*name == '/')
            return 1;
    return 0;
}

/* ENOENT of a file that is there is about its interpreter: after #!, or the loader of its format.  To ask
 * first is a third of what execve(2) takes to find out that there is none. */
static int execute(const char *path, char **argv, char **envp)
{
    int there = (int)SYS(faccessat, AT_FDCWD, path, 0);

    if (there == -ENOENT || there == -ENOTDIR)
        return there;
    int error = (int)SYS(execve, path, argv, envp);
    return error == -ENOENT && there == 0 ? -ELIBACC : error;
}

/* Returns only if it failed: -ENOENT, -EACCES or -ELIBACC for one that is there but may not be run or has no
 * interpreter, or another. */
int run_program(char **argv, char **envp)
{
    char candidate[LONGEST];
    const char *name = argv[0];
    size_t name_length = length(name);
    int answer = -ENOENT;

    if (!*name)
        return -ENOENT;
    if (has_slash(name))
        return execute(name, argv, envp);
    for (const char *from = path_of(envp); *from;) {
        const char *to = from;
        size_t n = 0;

        while (*to && *to != ':')
            to++;
        /* an empty name in PATH means the working directory to a shell; never to us */
        if (to > from && (size_t)(to - from) + name_length + 2 < sizeof candidate) {
            while (from < to)
                candidate[n++] = *from++;
            candidate[n++] = '/';
            for (size_t i = 0; i <= name_length; i++)
                candidate[n + i] = name[i];
            int error = execute(candidate, argv, envp);
            if (error == -EACCES || error == -ELIBACC)
                answer = error;
            else if (error != -ENOENT && error != -ENOTDIR)
                return error;
        }
        from = *to ? to + 1 : to;
    }
    return answer;
}
