/* spawn.c, join.c, say.c, steps.c, program.c: children and what they say.
 *
 * The landing and the joiner are those beside us: LANDING and JOINER name them. */
#include "births.h"
#include "check.h"
#include <sys/stat.h>
#include "steps.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* --- plans --- */

struct plan {
    union {
        struct pe_plan head;
        char bytes[8192];
    };
};

static uint32_t put_text(struct plan *plan, const char *text)
{
    uint32_t where = plan->head.size;

    strcpy(plan->bytes + where, text);
    plan->head.size += (uint32_t)strlen(text) + 1;
    return where;
}

/* A plan of n steps that runs *argv*, which ends with NULL. */
static struct plan a_plan(const struct pe_step *steps, uint32_t n, const char *const *argv)
{
    struct plan plan = {.head = {.abi = PE_ABI, .steps = sizeof(struct pe_plan), .n_steps = n}};

    if (n)
        memcpy(plan.bytes + sizeof(struct pe_plan), steps, n * sizeof *steps);
    plan.head.size = (uint32_t)(sizeof(struct pe_plan) + n * sizeof *steps);
    plan.head.argv = plan.head.size;
    for (; *argv; argv++, plan.head.n_argv++)
        put_text(&plan, *argv);
    plan.head.envp = put_text(&plan, "PATH=/bin:/usr/bin");
    plan.head.n_envp = 1;
    return plan;
}

#define RUNS(...) ((const char *const[]){__VA_ARGS__, NULL})

static int program(const char *variable)
{
    const char *name = getenv(variable);

    return OPENED(open(name ? name : "", O_RDONLY | O_CLOEXEC));
}

static struct pe_birth a_birth(int landing)
{
    return (struct pe_birth){.program = landing, .cgroup = -1, .stdio = {0, 1, 2}};
}

static int spawn(const struct plan *plan, const struct pe_birth *birth, struct pe_child *child)
{
    struct pe_pending *pending;

    TRY(pe_begin_spawn(plan->bytes, plan->head.size, birth, &pending));
    return pe_end_spawn(pending, child);
}

struct fate {
    struct pe_said said; /* the first word, but for BORN */
    struct pe_end end;
};

/* Hear and bury a child. */
static struct fate fate_of(struct pe_child *child)
{
    struct fate fate = {.said.word = PE_RUNNING};
    struct pe_said said;

    do {
        SAME(pe_hear(child->report, &said), 0);
        if (said.word == PE_BORN)
            child->pidfd = said.fd;
        else if (said.word == PE_FAILED)
            fate.said = said;
    } while (said.word != PE_RUNNING);
    close(child->report);
    SAME(pe_wait(child->pidfd, 0, &fate.end), 1);
    close(child->pidfd);
    return fate;
}

static struct fate fate_of_plan(const struct plan *plan)
{
    int landing = program("LANDING");
    struct pe_birth birth = a_birth(landing);
    struct pe_child child;

    SAME(spawn(plan, &birth, &child), 0);
    close(landing);
    return fate_of(&child);
}

TEST(a_child_ends_as_its_program_does)
{
    struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", "exit 7"));
    struct fate fate = fate_of_plan(&plan);

    SAME(fate.said.word, PE_RUNNING);
    SAME(fate.end.code, CLD_EXITED);
    SAME(fate.end.status, 7);
    plan = a_plan(NULL, 0, RUNS("sh", "-c", "kill -9 $$"));
    fate = fate_of_plan(&plan);
    SAME(fate.end.code, CLD_KILLED);
    SAME(fate.end.status, 9);
}

TEST(a_child_that_cannot_run_its_program_says_so)
{
    struct plan plan = a_plan(NULL, 0, RUNS("no-program-is-called-this"));
    struct fate fate = fate_of_plan(&plan);

    SAME(fate.said.word, PE_FAILED);
    SAME(fate.said.step, PE_EXECUTE);
    SAME(fate.said.error, ENOENT);
    SAME(fate.end.status, 127);
    plan = a_plan(NULL, 0, RUNS("/etc/passwd"));
    fate = fate_of_plan(&plan);
    SAME(fate.said.error, EACCES);
    SAME(fate.end.status, 126);
}

TEST(the_step_that_fails_is_told)
{
    const struct pe_step steps[] = {
        {.op = PE_UMASK, .flags = 022}, {.op = PE_SETSID}, {.op = PE_SETNS, .fd = 0, .flags = CLONE_NEWNET}};
    struct plan plan = a_plan(steps, 3, RUNS("true"));
    int landing = program("LANDING"), null = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));
    struct pe_birth birth = a_birth(landing);
    struct pe_child child;

    birth.n_fds = 1;
    birth.fds[0] = null;
    SAME(spawn(&plan, &birth, &child), 0);
    struct fate fate = fate_of(&child);
    SAME(fate.said.step, 2);
    SAME(fate.said.error, EINVAL);
    close(landing);
    close(null);
}

TEST(what_is_no_step_is_refused)
{
    static const uint32_t ops[] = {0, PE_SOCKET + 1, 0x7fffffff, 0xffffffff};

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct pe_step step = {.op = ops[i]};
        struct plan plan = a_plan(&step, 1, RUNS("true"));
        struct fate fate = fate_of_plan(&plan);
        SAME(fate.said.step, 0);
        SAME(fate.said.error, ENOSYS);
    }
}

TEST(a_plan_that_is_none_is_refused)
{
    struct plan plan = a_plan(NULL, 0, RUNS("true"));
    struct pe_birth birth = a_birth(-1);
    struct pe_pending *pending = NULL;

    SAME(pe_begin_spawn(plan.bytes, sizeof(struct pe_plan) - 1, &birth, &pending), -EINVAL);
    SAME(pe_begin_spawn(plan.bytes, plan.head.size + 1, &birth, &pending), -EINVAL);
    plan.head.abi++;
    SAME(pe_begin_spawn(plan.bytes, plan.head.size, &birth, &pending), -EINVAL);
}

TEST(descriptors_that_are_not_open_fail_before_any_step)
{
    struct pe_step step = {.op = 0};
    struct plan plan = a_plan(&step, 1, RUNS("true"));
    struct pe_birth birth = a_birth(-1);
    struct pe_child child;

    SAME(spawn(&plan, &birth, &child), 0);
    struct fate fate = fate_of(&child);
    SAME(fate.said.step, PE_ARRANGE);
    SAME(fate.said.error, EBADF);
}

TEST(texts_that_lack_crash_nobody)
{
    /* each op that can read a text, without any, in a child of its own */
    static const uint32_t ops[] = {PE_OVERLAY,    PE_MOUNT,     PE_BIND,    PE_BIND_AT, PE_ROOT,
                                   PE_MKDIR,      PE_MKNOD,     PE_SYMLINK, PE_WRITE,   PE_NULL,
                                   PE_MASK,       PE_READONLY,  PE_SYSCTL,  PE_CHDIR,   PE_HOSTNAME,
                                   PE_PROC_WRITE, PE_DOMAINNAME};

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct pe_step steps[] = {{.op = PE_UNSHARE, .flags = CLONE_NEWNS | CLONE_NEWUTS}, {.op = ops[i]}};
        struct plan plan = a_plan(steps, 2, RUNS("true"));
        struct fate fate = fate_of_plan(&plan);
        SAME(fate.end.code, CLD_EXITED);
    }
}

TEST(nobody_waits_for_a_child_that_runs)
{
    struct plan plan = a_plan(NULL, 0, RUNS("cat"));
    int landing = program("LANDING"), pipe_ends[2];
    struct pe_birth birth = a_birth(landing);
    struct pe_child child;
    struct pe_end end;

    SAME(pipe2(pipe_ends, O_CLOEXEC), 0);
    birth.stdio[0] = pipe_ends[0];
    SAME(spawn(&plan, &birth, &child), 0);
    close(pipe_ends[0]);
    SAME(pe_wait(child.pidfd, WNOHANG, &end), 0);
    close(pipe_ends[1]);
    SAME(fate_of(&child).end.status, 0);
    SAME(pe_wait(-1, 0, &end), -EINVAL);
    close(landing);
}

static void *give_births(void *unused)
{
    struct plan plan = a_plan(NULL, 0, RUNS("true"));

    (void)unused;
    for (int i = 0; i < 20; i++)
        SAME(fate_of_plan(&plan).end.status, 0);
    return NULL;
}

TEST(many_threads_give_birth_at_once)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        SAME(pthread_create(&threads[i], NULL, give_births, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    SAME(prctl(PR_GET_DUMPABLE), 1);
}

TEST(a_fork_may_give_birth_too)
{
    struct plan plan = a_plan(NULL, 0, RUNS("true"));
    int status;

    SAME(fate_of_plan(&plan).end.status, 0); /* now there are threads that the fork will lack */
    pid_t fork_of_us = fork();
    if (fork_of_us == 0)
        _exit(fate_of_plan(&plan).end.status);
    waitpid(fork_of_us, &status, 0);
    SAME(status, 0);
}

TEST(a_fork_lets_go_of_reports_that_are_open)
{
    struct report report;
    struct pe_said said;
    int status;

    SAME(open_report(&report), 0);
    begin_birth();
    SAME(prctl(PR_GET_DUMPABLE), 0);
    pid_t fork_of_us = fork();
    if (fork_of_us == 0)
        _exit(fcntl(report.tell, F_GETFD) >= 0 || prctl(PR_GET_DUMPABLE) != 1);
    waitpid(fork_of_us, &status, 0);
    SAME(status, 0);
    end_birth();
    SAME(prctl(PR_GET_DUMPABLE), 1);
    close_tell(&report);
    SAME(pe_hear(report.hear, &said), 0);
    SAME(said.word, PE_RUNNING);
    close(report.hear);
}

TEST(reports_are_closed_in_any_order)
{
    struct report reports[5];
    static const int order[] = {2, 0, 4, 3, 1};

    for (int i = 0; i < 5; i++)
        SAME(open_report(&reports[i]), 0);
    for (int i = 0; i < 5; i++) {
        close_tell(&reports[order[i]]);
        close(reports[order[i]].hear);
    }
}

/* --- words --- */

TEST(words_are_heard_as_they_were_said)
{
    struct pe_said heard, said = {.word = PE_TERMINAL, .step = 1, .error = 2, .pid = 3};
    int ends[2], null = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));

    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    said.fd = null;
    CHECK(say(ends[0], &said) > 0);
    said.fd = -1;
    said.word = PE_FAILED;
    CHECK(say(ends[0], &said) > 0);
    close(ends[0]);
    SAME(pe_hear(ends[1], &heard), 0);
    CHECK(heard.word == PE_TERMINAL && heard.step == 1 && heard.error == 2 && heard.pid == 3);
    CHECK(heard.fd > null && fcntl(heard.fd, F_GETFD) == FD_CLOEXEC);
    close(heard.fd);
    SAME(pe_hear(ends[1], &heard), 0);
    CHECK(heard.word == PE_FAILED && heard.fd == -1);
    SAME(pe_hear(ends[1], &heard), 0);
    SAME(heard.word, PE_RUNNING);
    close(ends[1]);
    close(null);
    SAME(pe_hear(-1, &heard), -EBADF);
    CHECK(say(-1, &said) < 0);
}

static void send_raw(int to, size_t size, int n_fds)
{
    char bytes[64] = {0};
    struct iovec what = {.iov_base = bytes, .iov_len = size};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * 8)];
    } with = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};

    with.header.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
    for (int i = 0; i < n_fds; i++)
        ((int *)(void *)CMSG_DATA(&with.header))[i] = to;
    if (n_fds) {
        message.msg_control = &with;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
    }
    CHECK(sendmsg(to, &message, 0) >= 0);
}

TEST(what_is_no_word_leaves_no_fds)
{
    struct pe_said heard;
    int ends[2];

    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    send_raw(ends[0], 3, 1);
    send_raw(ends[0], sizeof heard + 1, 1);
    send_raw(ends[0], sizeof heard, 8);
    SAME(pe_hear(ends[1], &heard), -EBADMSG);
    SAME(heard.fd, -1);
    SAME(pe_hear(ends[1], &heard), 0); /* cut off to one word, and one fd of one */
    close(heard.fd);
    SAME(pe_hear(ends[1], &heard), 0); /* one of eight */
    close(heard.fd);
    close(ends[0]);
    close(ends[1]);
}

/* --- those who join --- */

static int a_joiner(struct pe_child *joiner)
{
    int ends[2], itself = program("JOINER");

    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    SAME(pe_start_joiner(itself, ends[1], ~0ULL, 0, joiner), 0);
    close(ends[1]);
    close(itself);
    return ends[0];
}

static void end_joiner(int engine, struct pe_child *joiner)
{
    struct pe_end end;

    close(engine);
    SAME(pe_wait(joiner->pidfd, 0, &end), 1);
    SAME(end.code, CLD_EXITED);
    SAME(end.status, 0);
    close(joiner->pidfd);
}

TEST(a_joiner_with_users_of_its_own_waits_for_their_ids)
{
    struct pe_child joiner;
    struct pe_said heard;
    struct pe_end end;
    int ends[2], itself = program("JOINER");

    SAME(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    SAME(pe_start_joiner(itself, ends[1], ~0ULL, 1, &joiner), 0);
    close(ends[1]);
    close(itself);
    SAME(pe_hear(ends[0], &heard), 0);
    SAME(heard.word, PE_WAITS);
    SAME(heard.pid, joiner.pid);
    SAME(write(ends[0], "\3", 1), 1); /* nobody has mapped any */
    SAME(pe_hear(ends[0], &heard), 0);
    SAME(heard.word, PE_FAILED);
    CHECK(heard.error == EINVAL || heard.error == EPERM);
    SAME(pe_wait(joiner.pidfd, 0, &end), 1);
    SAME(end.status, 1);
    close(joiner.pidfd);
    close(ends[0]);
}

TEST(the_joiner_gives_birth_for_us)
{
    struct pe_child joiner, child = {.pidfd = -1};
    int engine = a_joiner(&joiner);
    struct pe_birth birth = a_birth(-1);

    for (int i = 0; i < 50; i++) {
        char code[32];
        snprintf(code, sizeof code, "exit %d", i);
        struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", code));
        birth.unshare = i % 2 ? CLONE_NEWPID : 0;
        SAME(pe_join(engine, plan.bytes, plan.head.size, &birth, -1, 0, &child.report), 0);
        struct fate fate = fate_of(&child);
        SAME(fate.said.word, PE_RUNNING);
        SAME(fate.end.status, i);
    }
    end_joiner(engine, &joiner);
}

TEST(a_joiner_tells_why_it_cannot)
{
    struct pe_child joiner;
    int engine = a_joiner(&joiner), report, null = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("true"));
    struct pe_said said;

    SAME(pe_join(engine, plan.bytes, plan.head.size, &birth, null, CLONE_NEWPID, &report), 0);
    SAME(pe_hear(report, &said), 0);
    CHECK(said.word == PE_FAILED && said.step == PE_CLONE && said.error == EINVAL && said.fd == -1);
    SAME(pe_hear(report, &said), 0);
    SAME(said.word, PE_RUNNING);
    close(report);
    birth.n_fds = PE_MAX_FDS + 1000;
    SAME(pe_join(engine, plan.bytes, plan.head.size, &birth, -1, 0, &report), -E2BIG);
    birth.n_fds = 0;
    SAME(pe_join(engine, plan.bytes, 3, &birth, -1, 0, &report), -E2BIG);
    close(null);
    end_joiner(engine, &joiner);
    SAME(pe_join(-1, plan.bytes, plan.head.size, &birth, -1, 0, &report), -EBADF);
}

TEST(a_child_waits_for_its_plan)
{
    struct pe_child joiner, child = {.pidfd = -1};
    int engine = a_joiner(&joiner);
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", "exit 7"));

    SAME(pe_conceive(engine, &birth, -1, 0, &child.report), 0);
    struct pollfd of = {.fd = child.report};
    SAME(poll(&of, 1, 50), 0); /* it has neither failed nor become anything */
    SAME(pe_instruct(child.report, plan.bytes, plan.head.size, &birth), 0);
    struct fate fate = fate_of(&child);
    SAME(fate.said.word, PE_RUNNING);
    SAME(fate.end.status, 7);
    end_joiner(engine, &joiner);
}

static void write_text(const char *path, const char *text)
{
    int file = OPENED(open(path, O_WRONLY | O_CLOEXEC));

    SAME(write(file, text, strlen(text)), (long)strlen(text));
    close(file);
}

/* A user namespace that nobody is in, whose root is *user* outside. */
static int some_users(const char *user)
{
    char path[64], map[64];
    int asked[2], done[2];
    char byte = 0;

    CHECK(pipe2(asked, O_CLOEXEC) == 0 && pipe2(done, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        byte = unshare(CLONE_NEWUSER) == 0;
        _exit(write(asked[1], &byte, 1) == 1 && read(done[0], &byte, 1) == 1 ? 0 : 1);
    }
    SAME(read(asked[0], &byte, 1), 1);
    SAME(byte, 1);
    snprintf(map, sizeof map, "0 %s 10", user);
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    write_text(path, map);
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    write_text(path, map);
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int users = OPENED(open(path, O_RDONLY | O_CLOEXEC));
    SAME(write(done[1], &byte, 1), 1);
    SAME(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 2; i++) {
        close(asked[i]);
        close(done[i]);
    }
    return users;
}

TEST(a_child_is_born_as_root_of_users_that_are_there_already)
{
    static const char *const code = "[ $$ = 1 ] && [ $(id -u) = 0 ] && [ $(id -G) = 0 ] && grep -q ' 70000 ' "
                                    "/proc/self/uid_map && exit 7";
    struct pe_child joiner;
    int engine = a_joiner(&joiner), users = some_users("70000"), report;
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", code));
    int born = -1, usher = -1;
    struct pe_said said;
    struct pe_end end;

    birth.unshare = CLONE_NEWPID;
    SAME(pe_conceive(engine, &birth, users, 0, &report), 0);
    SAME(pe_instruct(report, plan.bytes, plan.head.size, &birth), 0);
    do {
        SAME(pe_hear(report, &said), 0);
        CHECK(said.word != PE_FAILED);
        born = said.word == PE_BORN ? said.fd : born;
        usher = said.word == PE_USHER ? said.fd : usher;
    } while (said.word != PE_RUNNING);
    SAME(pe_wait(usher, 0, &end), 1);
    SAME(end.status, 0);
    SAME(pe_wait(born, 0, &end), 1);
    SAME(end.status, 7);
    close(usher);
    close(born);
    close(report);
    close(users);
    end_joiner(engine, &joiner);
}

TEST(who_cannot_be_born_among_some_users_says_so)
{
    struct pe_child joiner;
    int engine = a_joiner(&joiner), null = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC)), report;
    struct pe_birth birth = a_birth(-1);
    struct pe_said said;
    int words[3] = {0};

    SAME(pe_conceive(engine, &birth, null, 0, &report), 0);
    do {
        SAME(pe_hear(report, &said), 0);
        words[said.word == PE_FAILED ? 0 : said.word == PE_USHER ? 1 : 2]++;
        if (said.word == PE_FAILED)
            CHECK(said.step == PE_CLONE && said.error == EINVAL);
        if (said.word == PE_USHER) {
            struct pe_end end;
            SAME(pe_wait(said.fd, 0, &end), 1);
            close(said.fd);
        }
    } while (said.word != PE_RUNNING);
    CHECK(words[0] == 1 && words[1] == 1 && words[2] == 1);
    close(report);
    close(null);
    end_joiner(engine, &joiner);
}

TEST(a_child_without_a_plan_leaves)
{
    struct pe_child joiner;
    struct pe_birth birth = a_birth(-1);
    struct pe_said said;
    struct pe_end end;
    int engine = a_joiner(&joiner), report;

    SAME(pe_conceive(engine, &birth, -1, 0, &report), 0);
    SAME(pe_abandon(report), 0);
    SAME(pe_hear(report, &said), 0);
    SAME(said.word, PE_BORN);
    SAME(pe_wait(said.fd, 0, &end), 1);
    SAME(end.code, CLD_EXITED);
    close(said.fd);
    close(report);
    end_joiner(engine, &joiner);
}

TEST(a_child_that_is_told_nonsense_says_so)
{
    static const int sizes[] = {1, 12, 13, 200};
    struct pe_child joiner, child = {.pidfd = -1};
    struct pe_birth birth = a_birth(-1);
    char nonsense[256];
    int engine = a_joiner(&joiner);

    memset(nonsense, 0x11, sizeof nonsense);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        SAME(pe_conceive(engine, &birth, -1, 0, &child.report), 0);
        SAME(send(child.report, nonsense, (size_t)sizes[i], 0), sizes[i]);
        struct fate fate = fate_of(&child);
        SAME(fate.said.word, PE_FAILED);
        SAME(fate.said.error, EBADMSG);
    }
    end_joiner(engine, &joiner);
}

TEST(a_plan_too_large_for_a_message_comes_in_a_file)
{
    static char large[100000] __attribute__((aligned(8)));
    struct pe_child joiner, child = {.pidfd = -1};
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", "exit 9"));
    int engine = a_joiner(&joiner);

    memcpy(large, plan.bytes, plan.head.size);
    ((struct pe_plan *)(void *)large)->size = sizeof large;
    SAME(pe_join(engine, large, sizeof large, &birth, -1, 0, &child.report), 0);
    struct fate fate = fate_of(&child);
    SAME(fate.said.word, PE_RUNNING);
    SAME(fate.end.status, 9);
    end_joiner(engine, &joiner);
}

/* --- those who are seen through --- */

static int visit(int engine, const char *code, int64_t deadline, struct pe_visit *visit)
{
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("sh", "-c", code));

    birth.stdio[0] = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));
    SAME(pe_begin_visit(engine, plan.bytes, plan.head.size, &birth, -1, 0, visit), 0);
    close(birth.stdio[0]);
    return pe_see_through(deadline, visit);
}

static void leave_visit(struct pe_visit *visit)
{
    for (int i = 0; i < visit->n_words; i++)
        if (visit->words[i].fd >= 0)
            close(visit->words[i].fd);
    for (int i = 0; i < 2; i++)
        if (visit->outputs[i] >= 0)
            close(visit->outputs[i]);
    if (visit->report >= 0)
        close(visit->report);
    pe_forget(visit);
}

TEST(a_visit_is_seen_through)
{
    struct pe_child joiner;
    struct pe_visit seen;
    int engine = a_joiner(&joiner);

    SAME(visit(engine, "echo out; echo error >&2; exit 5", -1, &seen), 1);
    SAME(seen.end.status, 5);
    CHECK(seen.size[0] == 4 && !memcmp(seen.data[0], "out\n", 4));
    CHECK(seen.size[1] == 6 && !memcmp(seen.data[1], "error\n", 6));
    CHECK(seen.report < 0 && seen.outputs[0] < 0 && seen.outputs[1] < 0 && seen.words[0].fd < 0);
    pe_forget(&seen);
    end_joiner(engine, &joiner);
}

TEST(who_says_much_is_left_to_others)
{
    struct pe_child joiner;
    struct pe_visit seen;
    struct pe_end end;
    char rest[4096];
    size_t n = PE_HEARD_ROOM;
    int engine = a_joiner(&joiner);

    SAME(visit(engine, "head -c 200000 /dev/zero", -1, &seen), 0);
    SAME(seen.size[0], PE_HEARD_ROOM);
    for (ssize_t got; (got = read(seen.outputs[0], rest, sizeof rest)) > 0;)
        n += (size_t)got;
    SAME(n, 200000);
    SAME(pe_wait(seen.words[0].fd, 0, &end), 1);
    leave_visit(&seen);
    end_joiner(engine, &joiner);
}

TEST(a_visit_is_waited_for_until_its_deadline)
{
    struct pe_child joiner;
    struct pe_visit seen;
    struct timespec now;
    int engine = a_joiner(&joiner);

    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t soon = now.tv_sec * 1000000000LL + now.tv_nsec + 300000000;
    SAME(visit(engine, "echo early; exec sleep 600", soon, &seen), 0);
    CHECK(seen.runs && seen.size[0] == 6);
    SAME(pe_see_through(0, &seen), 0); /* long past */
    SAME(SYS(pidfd_send_signal, seen.words[0].fd, SIGKILL, NULL, 0), 0);
    SAME(pe_see_through(-1, &seen), 1);
    SAME(seen.end.code, CLD_KILLED);
    leave_visit(&seen);
    end_joiner(engine, &joiner);
}

TEST(a_visit_that_fails_is_left_to_who_knows_why)
{
    struct pe_child joiner, child = {.pidfd = -1};
    struct pe_visit seen;
    struct pe_birth birth = a_birth(-1);
    struct plan plan = a_plan(NULL, 0, RUNS("no-such-program"));
    int engine = a_joiner(&joiner);
    struct pe_end end;

    birth.stdio[0] = OPENED(open("/dev/null", O_RDONLY | O_CLOEXEC));
    SAME(pe_begin_visit(engine, plan.bytes, plan.head.size, &birth, -1, 0, &seen), 0);
    SAME(pe_see_through(-1, &seen), 0);
    SAME(seen.n_words, 2);
    for (int i = 0; i < 2; i++)
        if (seen.words[i].word == PE_BORN)
            child.pidfd = seen.words[i].fd;
        else
            SAME(seen.words[i].error, ENOENT);
    SAME(pe_wait(child.pidfd, 0, &end), 1);
    leave_visit(&seen);
    close(birth.stdio[0]);
    end_joiner(engine, &joiner);
    SAME(pe_begin_visit(-1, plan.bytes, plan.head.size, &birth, -1, 0, &seen), -EBADF);
    CHECK(seen.report < 0 && seen.outputs[0] < 0 && seen.outputs[1] < 0);
}

/* --- and those who are not --- */

TEST(a_joiner_leaves_at_nonsense)
{
    struct pe_child joiner;
    struct pe_end end;
    char nonsense[256];

    memset(nonsense, 0xee, sizeof nonsense);
    for (size_t size = 1; size <= sizeof nonsense; size *= 4) {
        int engine = a_joiner(&joiner);
        SAME(write(engine, nonsense, size), size);
        shutdown(engine, SHUT_WR);
        SAME(pe_wait(joiner.pidfd, 0, &end), 1);
        SAME(end.code, CLD_EXITED);
        close(joiner.pidfd);
        close(engine);
    }
}

/* --- namespaces --- */

static long number_of(const char *path)
{
    char name[64] = "";

    return readlink(path, name, sizeof name - 1) > 0 ? atol(strchr(name, '[') + 1) : -1;
}

TEST(a_namespace_is_made_while_nobody_moves)
{
    static const uint64_t flags[] = {CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS};
    long net = number_of("/proc/self/ns/net");
    char name[FD_NAME];

    for (int i = 0; i < 3; i++) {
        int made = OPENED(pe_new_namespace(flags[i], flags[i] == CLONE_NEWNET));
        name_fd(made, name);
        CHECK(number_of(name) > 0 && number_of(name) != net);
        close(made);
    }
    SAME(number_of("/proc/thread-self/ns/net"), net);
    CHECK(pe_new_namespace(CLONE_NEWPID, 0) < 0);
    CHECK(pe_new_namespace(0, 0) < 0);
}

/* --- the search for a program, in a fork of ours --- */

static int status_of(char **argv, char **envp)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(-run_program(argv, envp));
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

TEST(a_program_is_looked_for_in_path)
{
    char path[3][9200], *argv[] = {"seven", NULL}, *envp[] = {path[0], NULL}, *none[] = {NULL},
                        *empty[] = {"", NULL};

    make_directory("a");
    make_directory("b");
    make_file("a/seven", "");
    make_file("b/seven", "#!/bin/sh\nexit 7\n");
    snprintf(path[0], sizeof path[0], "PATH=/nowhere:%s", at("a"));
    SAME(status_of(argv, envp), EACCES);
    snprintf(path[0], sizeof path[0], "PATH=::%s:", at("b"));
    SAME(status_of(argv, envp), EACCES); /* there it is, but not executable */
    SAME(chmod(at("b/seven"), 0755), 0);
    SAME(status_of(argv, envp), 7);
    snprintf(path[0], sizeof path[0], "PATH=%s:%s:", at("a"), at("b"));
    SAME(status_of(argv, envp), 7);
    SAME(status_of(argv, none), ENOENT);
    SAME(status_of(empty, envp), ENOENT);
    memset(path[0] + 5, 'x', 9000);
    snprintf(path[0] + 9005, 100, ":%s", "");
    SAME(status_of(argv, envp), ENOENT);
    SAME(chdir(at("b")), 0);
    snprintf(path[0], sizeof path[0], "PATH=:.");
    SAME(status_of(argv, envp), 7); /* "." is said, an empty name is not */
    snprintf(path[0], sizeof path[0], "PATH=:");
    SAME(status_of(argv, envp), ENOENT);
    SAME(chdir("/"), 0);
}
