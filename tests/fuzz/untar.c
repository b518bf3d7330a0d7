/* Whatever an archive says, nothing outside its directory changes, nothing is leaked, and it is the same in
 * one piece as in many.
 *
 *     tests/fuzz/run [SECONDS]
 *
 * The first byte says how large the pieces are, the second what is allowed; the rest is the archive. */
#include "internal.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 22, MOST_ENTRIES = 500 };

static int top = -1;
static char place[64], *watched = "outside";

static void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    abort();
}

/* A tmpfs of its own, so that it is fast and what goes wrong cannot do harm. */
static void begin(void)
{
    snprintf(place, sizeof place, "/tmp/fuzz-untar-%d", getpid());
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        die("fuzzing needs root, for a mount namespace of its own");
    mkdir(place, 0700);
    if (mount("fuzz", place, "tmpfs", 0, "size=64m,nr_inodes=100k") < 0 || chdir(place) < 0)
        die("no tmpfs");
    rmdir(place);
    top = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    mkdir(watched, 0755);
    close(open("outside/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0640));
}

static void check_outside(void)
{
    static struct stat first, first_file;
    struct stat now, file;
    int entries = 0;
    DIR *all = opendir(".");

    if (fstatat(top, watched, &now, 0) < 0 || fstatat(top, "outside/file", &file, 0) < 0)
        die("what was outside is gone");
    if (!first.st_ino)
        first = now, first_file = file;
    if (memcmp(&first.st_mtim, &now.st_mtim, sizeof now.st_mtim) || first.st_mode != now.st_mode ||
        first_file.st_ctim.tv_nsec != file.st_ctim.tv_nsec || first_file.st_nlink != file.st_nlink ||
        file.st_size)
        die("something outside was changed");
    while (all && readdir(all))
        entries++;
    closedir(all);
    if (entries != 4) /* ".", "..", "outside", "in" */
        die("something was put outside");
}

static int count_fds(void)
{
    int n = 0;
    DIR *all = opendir("/proc/self/fd");

    while (all && readdir(all))
        n++;
    closedir(all);
    return n;
}

static int unpack(const char *data, size_t size, size_t piece, unsigned flags, struct pe_untarred *result)
{
    struct pe_untar *untar;
    int fed = 0;

    if (mkdirat(top, "in", 0700) < 0)
        die("the last one is still there");
    int in = openat(top, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (in < 0 || pe_untar_new(in, flags, MOST_BYTES, MOST_ENTRIES, &untar) < 0)
        die("it cannot begin");
    for (size_t at = 0; at < size && fed == 0; at += piece)
        fed = pe_untar_feed(untar, data + at, size - at < piece ? size - at : piece);
    if (fed == 0)
        fed = pe_untar_finish(untar, result);
    if (memchr(pe_untar_name(untar), 0, 4096) == NULL)
        die("a name has no end");
    pe_untar_free(untar);
    check_outside();
    close(in);
    if (pe_remove_tree(top, "in") < 0)
        die("it cannot be removed");
    return fed;
}

/* Checksums are hard to guess. */
static void mend(char *data, size_t size)
{
    for (size_t at = 0; at + 512 <= size; at += 512) {
        unsigned sum = 0;
        if (memcmp(data + at + 257, "ustar", 5))
            continue;
        memset(data + at + 148, ' ', 8);
        for (int i = 0; i < 512; i++)
            sum += (unsigned char)data[at + (size_t)i];
        snprintf(data + at + 148, 8, "%06o", sum);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct pe_untarred whole = {0}, pieces = {0};

    if (top < 0)
        begin();
    if (size < 2)
        return 0;
    char *data = malloc(size - 2);
    memcpy(data, input + 2, size - 2);
    if (!(input[1] & 4))
        mend(data, size - 2);
    int fds = count_fds();
    int one = unpack(data, size - 2, size, input[1] & 3, &whole);
    int many = unpack(data, size - 2, 1 + input[0] * 7u, input[1] & 3, &pieces);
    if (one != many || (one == 0 && memcmp(&whole, &pieces, sizeof whole)))
        die("it depends on how it comes");
    if (count_fds() != fds)
        die("a descriptor is left");
    free(data);
    return 0;
}
