/* files.c: removing trees whoever made them, and sealing. */
#include "check.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int removed(const char *name)
{
    int top = open_here();
    int answer = pe_remove_tree(top, name);

    close(top);
    return answer;
}

TEST(files_links_and_directories_go)
{
    make_directory("tree/a/b");
    make_directory("tree/empty");
    make_file("tree/a/file", "x");
    make_link("tree/a/b/link", "/etc");
    mkfifo(at("tree/fifo"), 0600);
    make_file("alone", "x");
    make_link("link", "tree");
    SAME(removed("link"), 0);
    CHECK(is_there("tree/a"));
    SAME(removed("alone"), 0);
    SAME(removed("tree"), 0);
    CHECK(!is_there("tree"));
    SAME(removed("tree"), -ENOENT);
    SAME(removed("tree/below"), -ENOENT);
}

TEST(what_links_lead_to_stays)
{
    make_directory("kept");
    make_file("kept/file", "x");
    make_directory("tree/deep");
    make_link("tree/link", at("kept"));
    make_link("tree/deep/link", "../../kept");
    SAME(removed("tree"), 0);
    CHECK(is_there("kept/file"));
}

TEST(no_depth_is_too_much)
{
    int top = open_here(), directory;

    make_directory("tree");
    directory = OPENED(openat(top, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 100000; i++) {
        SAME(mkdirat(directory, "d", 0755), 0);
        if (i % 1000 == 0)
            SAME(mkdirat(directory, "e", 0755), 0);
        int below = OPENED(openat(directory, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        close(directory);
        directory = below;
    }
    close(directory);
    SAME(pe_remove_tree(top, "tree"), 0);
    CHECK(!is_there("tree"));
    close(top);
}

TEST(many_entries_are_no_trouble)
{
    char name[64];

    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "tree/directory-%d/x", i);
        make_directory(name);
    }
    SAME(removed("tree"), 0);
}

TEST(names_that_are_ours_may_be_taken)
{
    make_directory("tree/.removed-1/x/y");
    make_file("tree/.removed-2", "");
    make_directory("tree/a/.removed-3/z");
    make_directory("tree/a/b/.removed-1/z");
    SAME(removed("tree"), 0);
    CHECK(!is_there("tree"));
}

/* As a user whom the mode binds: root would not notice. */
static void as_nobody(void (*what)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
            _exit(3);
        what();
        _exit(0);
    }
    waitpid(child, &status, 0);
    SAME(status, 0);
}

static void remove_mine(void)
{
    int top = open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (pe_remove_tree(top, "tree"))
        _exit(4);
}

static void make_mine(void)
{
    make_directory("tree/no/way/in");
    make_directory("tree/look/only");
    make_file("tree/no/way/in/file", "");
    make_file("tree/look/only/file", "");
    chmod(at("tree/no/way"), 0);
    chmod(at("tree/no"), 0);
    chmod(at("tree/look/only"), 0500);
    chmod(at("tree/look"), 0500);
    chmod(at("tree"), 0);
}

TEST(directories_that_nobody_may_enter_go_too)
{
    chmod(here, 0777);
    as_nobody(make_mine);
    as_nobody(remove_mine);
    CHECK(!is_there("tree"));
}

TEST(what_is_another_s_is_told)
{
    make_directory("tree/a");
    make_file("tree/a/file", "");
    int status;
    pid_t child = fork();
    if (child == 0) {
        int top = open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (setresuid(65534, 65534, 65534))
            _exit(3);
        _exit(pe_remove_tree(top, "tree") == -EACCES ? 0 : 4);
    }
    waitpid(child, &status, 0);
    SAME(status, 0);
    CHECK(is_there("tree/a/file"));
}

static volatile int stop;

static void *move_in_and_out(void *unused)
{
    (void)unused;
    while (!stop)
        if (rename(at("tree/a/b"), at("outside/b")) == 0)
            rename(at("outside/b"), at("tree/a/b"));
    return NULL;
}

TEST(who_moves_a_directory_away_does_not_lead_us_out)
{
    pthread_t thread;

    make_directory("outside/kept");
    make_file("outside/kept/file", "");
    stop = 0;
    pthread_create(&thread, NULL, move_in_and_out, NULL);
    for (int i = 0; i < 1500; i++) {
        make_directory("tree/a");
        mkdir(at("tree/a/b"), 0755);
        mkdir(at("tree/a/b/c"), 0755);
        mkdir(at("tree/a/b/c/d"), 0755);
        removed("tree"); /* what it answers depends on who is quicker */
    }
    stop = 1;
    pthread_join(thread, NULL);
    CHECK(is_there("outside/kept/file"));
}

TEST(a_sealed_program_stays_as_it_is)
{
    int exec = 0x10; /* MFD_EXEC: Linux 6.3 */
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING | exec);
    char name[FD_NAME];

    if (fd < 0)
        fd = OPENED(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    SAME(write(fd, "abc", 3), 3);
    int sealed = pe_seal(fd);
    CHECK(sealed == 0 || sealed == 1);
    SAME(pwrite(fd, "x", 1, 0), -1);
    SAME(ftruncate(fd, 0), -1);
    CHECK(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    name_fd(fd, name);
    SAME(chmod(name, 0), sealed ? -1 : 0);
    SAME(pe_seal(fd), -EPERM);
    close(fd);
    fd = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(pe_seal(fd) < 0);
    close(fd);
}

TEST(a_path_is_opened_as_told)
{
    int top = open_here();

    make_directory("a");
    make_link("out", "/etc/passwd");
    SAME(pe_openat2(top, "out", O_RDONLY, 0, RESOLVE_BENEATH), -EXDEV);
    SAME(pe_openat2(top, "out", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), -ELOOP);
    SAME(pe_openat2(top, "a/new", O_RDONLY, 0644, 0), -EINVAL);
    int fd = OPENED(pe_openat2(top, "/a/new", O_WRONLY | O_CREAT, 0600, RESOLVE_IN_ROOT));
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    CHECK(is_there("a/new"));
    close(top);
}

static void *remove_it(void *answer)
{
    int top = open_here();

    *(int *)answer = pe_remove_tree(top, "shared");
    close(top);
    return NULL;
}

TEST(who_removes_what_another_removes_too_is_not_done_before_it_is_gone)
{
    for (int turn = 0; turn < 50; turn++) {
        pthread_t other;
        int theirs = 0, ours = 0;
        char name[64];

        for (int i = 0; i < 200; i++) {
            snprintf(name, sizeof name, "shared/%d/%d/c", i % 20, i);
            make_directory(name);
        }
        SAME(pthread_create(&other, NULL, remove_it, &theirs), 0);
        remove_it(&ours);
        pthread_join(other, NULL);
        /* not even one of them may believe that it is gone while it is there */
        if (ours == 0 || ours == -ENOENT || theirs == 0 || theirs == -ENOENT)
            CHECK(!is_there("shared"));
        while (is_there("shared"))
            remove_it(&ours);
    }
}
