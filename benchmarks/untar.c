/* untar DIRECTORY < ARCHIVE: what it costs to unpack a tar archive in one thread, at the least.
 *
 * The calls that nobody can do without, by the name of a directory that is held open, with nothing checked
 * and nothing that an archive might say taken into account but what GNU tar writes by default. */
#include "container.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROOM = 4 << 20, BLOCK = 512, LONGEST = 4096 };

static char room[ROOM];
static size_t have, at;
static int top, held = -1;
static char held_path[LONGEST] = "?";

struct later { /* directories get their times at the end */
    char *name;
    mode_t mode;
    struct timespec times[2];
    struct later *next;
} * directories;

static void fill(void)
{
    memmove(room, room + at, have - at);
    have -= at;
    at = 0;
    ssize_t n = read(0, room + have, ROOM - have);
    if (n <= 0)
        die("read the archive");
    have += (size_t)n;
}

static char *take(size_t n)
{
    while (have - at < n)
        fill();
    at += n;
    return room + at - n;
}

static uint64_t octal(const char *field, int n)
{
    uint64_t number = 0;

    for (; n-- && *field; field++)
        if (*field >= '0' && *field <= '7')
            number = number * 8 + (uint64_t)(*field - '0');
    return number;
}

static int parent_of(char *path, char **name)
{
    char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if (!slash)
        return top;
    *slash = 0;
    if (strcmp(path, held_path)) {
        if (held >= 0)
            close(held);
        strcpy(held_path, path);
        for (char *p = held_path; (p = strchr(p + 1, '/'));) {
            *p = 0;
            mkdirat(top, held_path, 0755);
            *p = '/';
        }
        mkdirat(top, held_path, 0755);
        held = openat(top, held_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (held < 0)
            die("open a directory");
    }
    *slash = '/';
    return held;
}

static void write_file(int directory, const char *name, mode_t mode, uint64_t size,
                       const struct timespec *times)
{
    int file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    uint64_t padding = -size % BLOCK;

    if (file < 0)
        die("make a file");
    while (size) {
        if (at == have)
            fill();
        size_t n = have - at < size ? have - at : (size_t)size;
        if (write(file, room + at, n) != (ssize_t)n)
            die("write a file");
        at += n;
        size -= n;
    }
    take(padding);
    futimens(file, times);
    close(file);
}

static void keep_for_later(const char *path, mode_t mode, const struct timespec *times)
{
    struct later *later = malloc(sizeof *later);

    *later = (struct later){strdup(path), mode, {times[0], times[1]}, directories};
    directories = later;
}

static void unpack(const char *header, char *path, const char *link)
{
    struct timespec times[2] = {{(time_t)octal(header + 136, 12), 0}, {(time_t)octal(header + 136, 12), 0}};
    mode_t mode = (mode_t)octal(header + 100, 8) & 07777;
    size_t n = strlen(path);
    char *name;

    while (n && path[n - 1] == '/')
        path[--n] = 0;
    int directory = parent_of(path, &name);
    switch (header[156]) {
    case '1':
        if (linkat(top, link, directory, name, 0) < 0)
            die("make a hard link");
        return;
    case '2':
        if (symlinkat(link, directory, name) < 0)
            die("make a link");
        utimensat(directory, name, times, AT_SYMLINK_NOFOLLOW);
        return;
    case '5':
        mkdirat(directory, name, 0700);
        keep_for_later(path, mode, times);
        return;
    default:
        write_file(directory, name, mode, octal(header + 124, 12), times);
    }
}

int main(int argc, char **argv)
{
    char path[LONGEST], link[LONGEST], long_path[LONGEST] = "", long_link[LONGEST] = "", header[BLOCK];

    top = open(argc > 1 ? argv[1] : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        die("open the directory");
    umask(0);
    while (memcpy(header, take(BLOCK), BLOCK), *header) {
        uint64_t size = octal(header + 124, 12);
        if (header[156] == 'L' || header[156] == 'K') {
            memcpy(header[156] == 'L' ? long_path : long_link,
                   take((size + BLOCK - 1) & ~(uint64_t)(BLOCK - 1)), size);
            continue;
        }
        snprintf(path, sizeof path, "%.100s", header);
        snprintf(link, sizeof link, "%.100s", header + 157);
        unpack(header, *long_path ? long_path : path, *long_link ? long_link : link);
        *long_path = *long_link = 0;
    }
    for (struct later *one = directories; one; one = one->next) {
        fchmodat(top, one->name, one->mode, 0);
        utimensat(top, one->name, one->times, 0);
    }
    return 0;
}
