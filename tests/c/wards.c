/* ward.c: what a guard is told, and what it does with what the dead leave. */
#include "check.h"
#include "ward.h"
#include <poll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static struct ward *new_ward(void)
{
    struct ward *ward = calloc(1, sizeof *ward);

    ward->owner = ward->owners = ward->users = ward->lock = -1;
    return ward;
}

static void done_with(struct ward *ward)
{
    forget(ward);
    free(ward);
}

static int open_at(const char *name)
{
    return OPENED(open(at(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

/* A word as it comes off the wire: the fds are closed by whoever refuses them. */
static int told(struct ward *ward, uint32_t op, const char *text, uint64_t key, int n_fds, const int *fds)
{
    struct pe_guard_word word = {.op = op, .size = (uint32_t)strlen(text), .key = key};

    memcpy(word.text, text, strlen(text));
    return note(ward, &word, fds, n_fds);
}

#define TOLD(ward, op, text, key, ...)                                                                       \
    told(ward, op, text, key, (int)(sizeof((int[]){-1, ##__VA_ARGS__}) / sizeof(int)) - 1,                   \
         (int[]){-1, ##__VA_ARGS__} + 1)

static pid_t child_that_waits(int *pidfd)
{
    pid_t child = fork();

    if (child == 0) {
        pause();
        _exit(0);
    }
    *pidfd = OPENED(syscall(SYS_pidfd_open, child, 0));
    return child;
}

static void own(struct ward *ward, const char *name, int *pidfd, pid_t *child)
{
    char path[64];

    snprintf(path, sizeof path, "owners/%s", name);
    make_directory(path);
    make_directory("names");
    *child = child_that_waits(pidfd);
    SAME(TOLD(ward, PE_GUARD_OWNER, name, 0, dup(*pidfd), open_at("owners")), 0);
}

static void die(pid_t child, int pidfd)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(pidfd);
}

TEST(what_makes_no_sense_is_refused_and_its_descriptors_are_closed)
{
    struct ward *ward = new_ward();
    struct pe_guard_word word = {.op = PE_GUARD_FILE, .size = PE_GUARD_TEXT};
    int fds[] = {open_here()};

    SAME(note(ward, &word, fds, 1), -EMSGSIZE);
    SAME(TOLD(ward, 0, "", 0, open_here()), -EINVAL);
    SAME(TOLD(ward, 99, "x", 0, open_here(), open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_OWNER, "x", 0, open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_OWNER, "", 0, open_here(), open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_TREE, "", 0, open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_LINKS, "", 0), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", 0, open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", 1), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_DROP, "", 7), -ENOENT);
    SAME(TOLD(ward, PE_GUARD_BYE, "", 0, open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_BYE, "", 0), 1);
    SAME(is_dead(ward), 0);
    SAME(is_forsaken(ward), 0);
    bury(ward, 0); /* of nobody */
    done_with(ward);
}

TEST(an_owner_is_told_once)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "one", &pidfd, &child);
    SAME(TOLD(ward, PE_GUARD_OWNER, "two", 0, dup(pidfd), open_at("owners")), -EINVAL);
    CHECK(same(ward->name, "one"));
    die(child, pidfd);
    done_with(ward);
}

TEST(no_table_is_written_past_its_end)
{
    struct ward *ward = new_ward();

    for (int i = 0; i < MOST_PLACES; i++)
        SAME(TOLD(ward, PE_GUARD_FILE, "x", 0, open_here()), 0);
    SAME(TOLD(ward, PE_GUARD_FILE, "x", 0, open_here()), -ENOSPC);
    for (uint64_t key = 1; key <= MOST_HELD; key++)
        ward->held[key - 1] = (struct held){.key = key, .fds = {-1, -1, -1, -1, -1}};
    ward->n_held = MOST_HELD;
    SAME(TOLD(ward, PE_GUARD_HOLD, "", MOST_HELD + 1, open_here()), -ENOSPC);
    SAME(TOLD(ward, PE_GUARD_DROP, "", 17), 0);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", 18, open_here()), -EINVAL);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", MOST_HELD + 1, open_here()), 0);
    done_with(ward);
}

TEST(a_text_as_long_as_there_is_room_for_is_taken_whole)
{
    struct ward *ward = new_ward();
    char longest[PE_GUARD_TEXT];

    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    SAME(TOLD(ward, PE_GUARD_FILE, longest, 0, open_here()), 0);
    SAME(strlen(ward->places[0].text), PE_GUARD_TEXT - 1);
    done_with(ward);
}

TEST(only_the_end_of_its_process_is_the_death_of_an_owner)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "one", &pidfd, &child);
    SAME(is_dead(ward), 0);
    kill(child, SIGSTOP);
    SAME(is_dead(ward), 0);
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    SAME(is_dead(ward), 1); /* not reaped yet */
    die(child, pidfd);
    SAME(is_dead(ward), 1);
    done_with(ward);
}

TEST(who_has_given_up_its_lock_is_forsaken_and_who_holds_it_is_not)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "one", &pidfd, &child);
    int lock = open_at("owners/one");
    SAME(flock(lock, LOCK_EX), 0);
    SAME(is_forsaken(ward), 0);
    SAME(is_forsaken(ward), 0);
    close(lock);
    SAME(is_forsaken(ward), 1);
    die(child, pidfd);
    done_with(ward);
}

TEST(all_of_a_dead_owner_goes_and_nothing_of_anybody_else)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "a", &pidfd, &child);
    make_directory("owners/a/0/upper/etc");
    make_file("owners/a/0/state.json", "x");
    make_directory("owners/ab/0");
    make_link("names/web", "a/0");
    make_link("names/db", "ab/0");
    make_link("names/none", "a");
    make_file("names/file", "x");
    make_file("names/record", "{\"version\":1,\"place\":\"a/0\",\"spec\":{}}");
    make_file("names/another", "{\"version\":1,\"place\":\"ab/0\",\"spec\":{}}");
    make_file("names/begun", "{\"version\":1,\"place\":\"a");
    make_directory("desk");
    make_file("desk/a.sock", "x");
    SAME(TOLD(ward, PE_GUARD_LINKS, "", 0, open_at("names")), 0);
    SAME(TOLD(ward, PE_GUARD_FILE, "a.sock", 0, open_at("desk")), 0);
    die(child, pidfd);
    kill_all(ward);
    bury(ward, 100);
    bury(ward, 100); /* again: nothing is there any more, and that is fine */
    CHECK(!is_there("owners/a"));
    CHECK(!is_there("owners/.dead-a"));
    CHECK(!is_there("names/web"));
    CHECK(!is_there("desk/a.sock"));
    CHECK(is_there("owners/ab/0"));
    CHECK(is_there("names/db"));
    CHECK(is_there("names/none"));
    CHECK(is_there("names/file"));
    CHECK(!is_there("names/record"));
    CHECK(is_there("names/another"));
    CHECK(is_there("names/begun"));
    done_with(ward);
}

TEST(what_an_opener_has_hidden_already_is_buried_all_the_same)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "a", &pidfd, &child);
    make_directory("owners/a/0");
    SAME(rename(at("owners/a"), at("owners/.dead-a")), 0);
    die(child, pidfd);
    bury(ward, 100);
    CHECK(!is_there("owners/.dead-a"));
    done_with(ward);
}

TEST(who_is_held_is_killed_and_who_was_let_go_is_not)
{
    struct ward *ward = new_ward();
    int pidfd, held, dropped;
    pid_t child, one, two;

    own(ward, "a", &pidfd, &child);
    one = child_that_waits(&held);
    two = child_that_waits(&dropped);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", 5, dup(held)), 0);
    SAME(TOLD(ward, PE_GUARD_HOLD, "", 6, dup(dropped), open_here()), 0);
    SAME(TOLD(ward, PE_GUARD_DROP, "", 6), 0);
    die(child, pidfd);
    kill_all(ward);
    int status;
    SAME(waitpid(one, &status, 0), one);
    SAME(WTERMSIG(status), SIGKILL);
    SAME(waitpid(two, &status, WNOHANG), 0);
    close(held);
    die(two, dropped);
    done_with(ward);
}

/* A directory that looks like a cgroup of version 1 does: nobody is killed by a file, but each by its pid. */
TEST(where_the_kernel_kills_nobody_at_once_each_is_killed)
{
    static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct ward *ward = new_ward();
    char path[128], text[32];
    pid_t child, one;
    int pidfd, held;

    own(ward, "a", &pidfd, &child);
    one = child_that_waits(&held);
    snprintf(path, sizeof path, "owners/a/%s", id);
    make_directory(path);
    snprintf(path, sizeof path, "tree/mine/%s", id);
    make_directory(path);
    snprintf(path, sizeof path, "tree/mine/%s/exec", id);
    make_directory(path);
    snprintf(path, sizeof path, "tree/mine/%s/exec/cgroup.procs", id);
    snprintf(text, sizeof text, "%d\n", one);
    make_file(path, text);
    SAME(TOLD(ward, PE_GUARD_EACH, "mine", 0, open_at("tree")), 0);
    die(child, pidfd);
    kill_all(ward);
    int status;
    SAME(waitpid(one, &status, 0), one);
    SAME(WTERMSIG(status), SIGKILL);
    close(held);
    done_with(ward);
}

TEST(cgroups_go_from_the_bottom_up)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "a", &pidfd, &child);
    make_directory("tree/p/branch/a/one/exec-1");
    make_directory("tree/p/branch/a/one/exec-2/deep/er");
    make_directory("tree/p/branch/a/two");
    make_directory("tree/p/branch/ab/two");
    SAME(TOLD(ward, PE_GUARD_TREE, "p/branch/a", 0, open_at("tree")), 0);
    die(child, pidfd);
    bury(ward, 1000);
    CHECK(!is_there("tree/p/branch/a"));
    CHECK(is_there("tree/p/branch/ab/two"));
    done_with(ward);
}

TEST(what_is_above_a_cgroup_goes_if_it_is_empty_and_marked_as_ours)
{
    struct ward *ward = new_ward();
    pid_t child;
    int pidfd;

    own(ward, "a", &pidfd, &child);
    make_directory("tree/theirs/ours/branch/a/one");
    SAME(setxattr(at("tree/theirs/ours"), "trusted.pyengine", "1", 1, 0), 0);
    SAME(setxattr(at("tree/theirs/ours/branch"), "trusted.pyengine", "1", 1, 0), 0);
    SAME(TOLD(ward, PE_GUARD_TREE, "theirs/ours/branch/a", 0, open_at("tree")), 0);
    die(child, pidfd);
    bury(ward, 1000);
    CHECK(!is_there("tree/theirs/ours"));
    CHECK(is_there("tree/theirs"));
    done_with(ward);
}

/* --- the program itself --- */

/* It says who it is, and what we have started is over. */
static int start_guard(int *line)
{
    const char *program = getenv("GUARD");
    struct pe_said said;
    int ends[2], status;

    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 3);
        execl(program, "guard", NULL);
        _exit(125);
    }
    close(ends[1]);
    SAME(waitpid(child, &status, 0), child);
    SAME(status, 0);
    SAME(pe_hear(ends[0], &said), 0);
    SAME(said.word, PE_BORN);
    CHECK(said.pid > 1 && said.pid != child);
    *line = ends[0];
    return said.fd;
}

static void send_word(int line, uint32_t op, const char *text, const int *fds, int n_fds)
{
    struct pe_guard_word word = {.op = op, .size = (uint32_t)strlen(text)};
    struct iovec what = {&word, sizeof word};
    char control[CMSG_SPACE(sizeof(int) * 8)] = {0};
    struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};

    memcpy(word.text, text, strlen(text));
    if (n_fds) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){CMSG_LEN(sizeof(int) * (size_t)n_fds), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(header), fds, sizeof(int) * (size_t)n_fds);
    }
    SAME(sendmsg(line, &message, 0), sizeof word);
}

static int is_over(int pidfd, int milliseconds)
{
    struct pollfd end = {.fd = pidfd, .events = POLLIN};

    return poll(&end, 1, milliseconds) == 1;
}

TEST(a_guard_that_is_told_goodbye_leaves_and_touches_nothing)
{
    int line, guard = start_guard(&line);

    make_directory("owners/a");
    send_word(line, PE_GUARD_BYE, "", NULL, 0);
    CHECK(is_over(guard, 5000));
    CHECK(is_there("owners/a"));
    close(guard);
    close(line);
}

TEST(the_end_of_its_line_means_nothing_while_its_owner_lives)
{
    int line, pidfd, guard = start_guard(&line);

    make_directory("owners/a");
    pid_t owner = child_that_waits(&pidfd);
    int lock = open_at("owners/a"), fds[] = {pidfd, open_at("owners")};
    SAME(flock(lock, LOCK_EX), 0);
    send_word(line, PE_GUARD_OWNER, "a", fds, 2);
    close(fds[1]);
    close(line);
    CHECK(!is_over(guard, 50));
    CHECK(is_there("owners/a"));
    die(owner, pidfd);
    CHECK(is_over(guard, 5000));
    CHECK(!is_there("owners/a"));
    close(lock);
    close(guard);
}

TEST(nonsense_on_its_line_does_not_keep_a_guard_from_its_work)
{
    int line, pidfd, guard = start_guard(&line);
    char much[4096] = {0};

    make_directory("owners/a");
    pid_t owner = child_that_waits(&pidfd);
    int fds[] = {pidfd, open_at("owners")}, many[] = {line, line, line, line, line, line, line, line};
    SAME(send(line, much, 3, 0), 3);
    SAME(send(line, much, sizeof much, 0), sizeof much);
    send_word(line, 77, "", many, 8);
    send_word(line, PE_GUARD_OWNER, "a", fds, 2);
    send_word(line, PE_GUARD_OWNER, "b", fds, 2);
    die(owner, pidfd);
    CHECK(is_over(guard, 5000));
    CHECK(!is_there("owners/a"));
    close(fds[1]);
    close(line);
    close(guard);
}

TEST(a_guard_without_an_owner_leaves_at_once)
{
    int line, guard = start_guard(&line), status;

    close(line);
    CHECK(is_over(guard, 5000));
    close(guard);
    pid_t child = fork();
    if (child == 0) {
        close(3);
        execl(getenv("GUARD"), "guard", NULL);
        _exit(125);
    }
    SAME(waitpid(child, &status, 0), child);
    SAME(WEXITSTATUS(status), 126);
}
