/* resolve.c: nothing leads out of a root, and what is made is made inside. */
#include "check.h"
#include <pthread.h>
#include <sys/stat.h>

/* Where *path* leads in the root of this test, as a path below it; or the errno. */
static int leads(const char *path, char *where)
{
    int root = open_here();
    int found = resolve(root, path, 0);
    char name[FD_NAME], whole[4096];

    close(root);
    where[0] = 0;
    if (found < 0)
        return found;
    name_fd(found, name);
    ssize_t n = readlink(name, whole, sizeof whole - 1);
    whole[n > 0 ? n : 0] = 0;
    CHECK(!strncmp(whole, here, strlen(here)));
    strcpy(where, whole + strlen(here));
    close(found);
    return 0;
}

TEST(a_name_leads_below_the_root_however_it_is_written)
{
    char where[4096];
    static const char *const ways[] = {"a/b",          "/a/b", "//a//b", "../a/b",
                                       "/../../a/./b", "link", "up",     "/up/../b"};

    make_directory("a/b");
    make_link("link", "/a/b");
    make_link("up", "../../../../a/b");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        SAME(leads(ways[i], where), 0);
        SAME(strcmp(where, "/a/b"), 0);
    }
}

TEST(what_leads_nowhere_is_told_apart)
{
    char where[4096], longest[5000];

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    make_file("file", "");
    make_link("round", "round");
    make_link("dangling", "nowhere");
    SAME(leads("nowhere", where), -ENOENT);
    SAME(leads("dangling", where), -ENOENT);
    SAME(leads("file/below", where), -ENOTDIR);
    SAME(leads("round", where), -ELOOP);
    SAME(leads(longest, where), -ENAMETOOLONG);
}

TEST(magic_links_are_refused)
{
    int root = OPENED(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));

    SAME(resolve(root, "/proc/self/root", 0), -ELOOP);
    SAME(resolve(root, "/proc/self/cwd/x", 0), -ELOOP);
    SAME(resolve(root, "/proc/self/fd/0", 0), -ELOOP);
    close(root);
}

static int made(const char *path, int directory)
{
    int root = open_here();
    int fd = resolve_or_make(root, path, directory);

    close(root);
    if (fd >= 0)
        close(fd);
    return fd >= 0 ? 0 : fd;
}

static int is_file(const char *name)
{
    struct stat found;

    return lstat(at(name), &found) == 0 && S_ISREG(found.st_mode);
}

static int is_dir(const char *name)
{
    struct stat found;

    return lstat(at(name), &found) == 0 && S_ISDIR(found.st_mode);
}

TEST(what_lacks_is_made_on_the_way)
{
    SAME(made("/a/b/c", 1), 0);
    SAME(made("a/b/file", 0), 0);
    SAME(made("/d//e///", 1), 0);
    SAME(made("/", 1), 0);
    SAME(made("", 1), -ENOENT);
    SAME(made("../../f/../f/g", 0), 0);
    CHECK(is_dir("a/b/c") && is_file("a/b/file") && is_dir("d/e") && is_file("f/g"));
}

TEST(what_is_there_is_kept)
{
    char word[8] = "";

    make_directory("a");
    make_file("a/file", "content");
    SAME(made("a/file", 0), 0);
    SAME(made("a/file", 1), 0); /* whether it fits is for who mounts to see */
    SAME(made("a/file/below", 1), -ENOTDIR);
    FILE *file = fopen(at("a/file"), "re");
    CHECK(fread(word, 1, 7, file) == 7 && !strcmp(word, "content"));
    fclose(file);
}

TEST(links_to_nowhere_are_made_inside)
{
    make_directory("deep");
    make_link("absolute", "/one/two");
    make_link("relative", "three");
    make_link("deep/upwards", "../../../four");
    make_link("chain", "relative-chain");
    make_link("relative-chain", "/deep/./five");
    SAME(made("absolute", 0), 0);
    SAME(made("relative", 1), 0);
    SAME(made("deep/upwards", 1), 0);
    SAME(made("/chain/six", 1), 0);
    CHECK(is_file("one/two") && is_dir("three") && is_dir("four") && is_dir("deep/five/six"));
    CHECK(!is_there("../one"));
}

TEST(links_without_end_are_given_up)
{
    char name[32], target[5000];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "l%d", i);
        snprintf(target, sizeof target, "l%d", i + 1);
        make_link(name, target);
    }
    SAME(made("l0", 0), -ELOOP);
    make_link("round", "round/x");
    SAME(made("round", 0), -ELOOP);
    memset(target, 'y', 200);
    for (int i = 0; i < 4000; i += 200)
        memcpy(target + i, target, 200), target[i] = '/';
    target[4000] = 0;
    make_link("long", target);
    snprintf(name, sizeof name, "long/%s", "zzzzzzzzzzzzzzzzzzzz");
    SAME(made(name, 1), 0); /* it just fits */
}

TEST(names_that_are_too_long_are_refused)
{
    char longest[5000];

    memset(longest, 'x', sizeof longest);
    longest[300] = 0;
    SAME(made(longest, 1), -ENAMETOOLONG);
    for (int i = 0; i < 4999; i++)
        longest[i] = i % 100 ? 'x' : '/';
    longest[4999] = 0;
    SAME(made(longest, 1), -ENAMETOOLONG);
}

static volatile int stop;

static void *rename_all_the_time(void *unused)
{
    (void)unused;
    while (!stop)
        if (rename(at("p"), at("q")) == 0)
            rename(at("q"), at("p"));
    return NULL;
}

TEST(who_renames_elsewhere_stops_nobody)
{
    pthread_t thread;
    char where[4096];
    int again = 0;

    make_directory("p");
    make_directory("a/b/c");
    stop = 0;
    pthread_create(&thread, NULL, rename_all_the_time, NULL);
    for (int i = 0; i < 20000; i++)
        again += leads("a/b/c/../../b/../b/c/..", where) == -EAGAIN;
    stop = 1;
    pthread_join(thread, NULL);
    SAME(again, 0);
}

TEST(devices_are_known_by_their_numbers)
{
    int null = OPENED(open("/dev/null", O_PATH | O_CLOEXEC)),
        zero = OPENED(open("/dev/zero", O_PATH | O_CLOEXEC));
    int directory = open_here();

    SAME(is_device(null, 1, 3), 1);
    SAME(is_device(zero, 1, 3), 0);
    SAME(is_device(directory, 0, 0), 0);
    SAME(is_device(-1, 1, 3), -EBADF);
    SAME(is_directory(directory), 1);
    SAME(is_directory(null), 0);
    close(null);
    close(zero);
    close(directory);
}

TEST(fds_have_names)
{
    static const struct {
        int fd;
        const char *name;
    } names[] = {{0, "/proc/self/fd/0"},
                 {9, "/proc/self/fd/9"},
                 {10, "/proc/self/fd/10"},
                 {99, "/proc/self/fd/99"},
                 {1048575, "/proc/self/fd/1048575"},
                 {2147483647, "/proc/self/fd/2147483647"}};
    char name[FD_NAME];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        name_fd(names[i].fd, name);
        SAME(strcmp(name, names[i].name), 0);
    }
}

TEST(texts_are_measured_and_compared)
{
    SAME(length("abc"), 3);
    SAME(length(""), 0);
    SAME(length(NULL), 0);
    CHECK(same("", "") && same("ab", "ab"));
    CHECK(!same("ab", "abc") && !same("abc", "ab") && !same("", "a"));
}
