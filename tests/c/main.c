/* Runs the tests, and says how many passed.
 *
 *     border [NAME]      only those whose names begin with NAME */
#include "check.h"
#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct test *tests;
static int failures;
char here[64];

void add_test(struct test *test)
{
    test->next = tests;
    tests = test;
}

void fail(const char *file, int line, const char *what, long got, long wanted)
{
    fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", file, line, what, got, wanted);
    failures++;
}

const char *at(const char *name)
{
    static char places[4][9000];
    static unsigned next;
    char *place = places[next++ % 4];

    snprintf(place, sizeof places[0], "%s/%s", here, name);
    return place;
}

int open_here(void)
{
    return OPENED(open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void must(int worked, const char *what, const char *name)
{
    if (worked)
        return;
    fprintf(stderr, "cannot %s %s: %s\n", what, name, strerror(errno));
    exit(2);
}

void make_directory(const char *name)
{
    char path[9000];

    snprintf(path, sizeof path, "%s", at(name));
    for (char *slash = path + strlen(here) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        must(mkdir(path, 0755) == 0 || errno == EEXIST, "make", path);
    }
    must(mkdir(path, 0755) == 0 || errno == EEXIST, "make", path);
}

void make_file(const char *name, const char *content)
{
    FILE *file = fopen(at(name), "we");

    must(file && fputs(content, file) >= 0 && fclose(file) == 0, "write", name);
}

void make_link(const char *name, const char *target)
{
    must(symlink(target, at(name)) == 0, "link", name);
}

int is_there(const char *name)
{
    struct stat found;

    return lstat(at(name), &found) == 0;
}

static int open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;

    while (directory && readdir(directory))
        n++;
    closedir(directory);
    return n;
}

enum { PATIENCE = 60 }; /* seconds, then a test that hangs has failed */

static int run(const struct test *test, const char *scratch, int number)
{
    int status;

    snprintf(here, sizeof here, "%s/%d", scratch, number);
    must(mkdir(here, 0755) == 0, "make", here);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int before = open_fds();
        alarm(PATIENCE);
        test->run();
        SAME(open_fds(), before);
        exit(failures > 0);
    }
    must(waitpid(child, &status, 0) == child, "wait for", test->name);
    if (status)
        fprintf(stderr, "FAILED %s (%s %d)\n", test->name, WIFSIGNALED(status) ? "signal" : "exit code",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return status == 0;
}

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/border-XXXXXX";
    int passed = 0, failed = 0, number = 0;

    must(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "leave",
         "the host's mounts");
    must(mkdtemp(scratch) && mount("scratch", scratch, "tmpfs", 0, "size=1g,nr_inodes=1m") == 0, "make",
         scratch);
    for (const struct test *test = tests; test; test = test->next) {
        if (argc > 1 && strncmp(test->name, argv[1], strlen(argv[1])))
            continue;
        *(run(test, scratch, number++) ? &passed : &failed) += 1;
    }
    umount2(scratch, MNT_DETACH);
    rmdir(scratch);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
