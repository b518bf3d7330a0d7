/* Hearing a program out that says little, from its birth to its end, without a word to the interpreter.
 *
 * Most programs say a few lines, if any, and for these what costs is waking up an interpreter for each of
 * them.  Who says more is heard by who can keep more. */
#include "internal.h"
#include <poll.h>
#include <stdlib.h>
#include <time.h>

enum { ROOM = PE_HEARD_ROOM, OUTPUTS = 2, ENDED = OUTPUTS };

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Read once what is there: 0, or 1 if there is no more room. */
static int take(struct pe_visit *visit, int output)
{
    char **data = &visit->data[output];
    size_t *size = &visit->size[output];

    if (!*data && !(*data = malloc(ROOM)))
        return 1;
    if (*size == ROOM)
        return 1;
    long n = SYS(read, visit->outputs[output], *data + *size, ROOM - *size);
    if (n > 0)
        *size += (size_t)n;
    else if (n != -EINTR && n != -EAGAIN)
        close_fd(&visit->outputs[output]);
    return 0;
}

/* Wait for something to happen, at most until *deadline*, if it is not negative: 0 if nothing has. */
static int await(struct pollfd *of, int n, int64_t deadline)
{
    struct timespec left = {0};

    if (deadline >= 0) {
        int64_t ns = deadline - now_ns();
        if (ns > 0)
            left = (struct timespec){ns / 1000000000, ns % 1000000000};
    }
    return (int)SYS(ppoll, of, n, deadline < 0 ? NULL : &left, NULL, 0);
}

/* Woken once, by the end of the report: at each word, we would take the processor from the child. */
static int hear_birth(int64_t deadline, struct pe_visit *visit)
{
    struct pollfd of = {.fd = visit->report};

    if (TRY(await(&of, 1, deadline)) == 0)
        return 0;
    while (visit->n_words < PE_MOST_WORDS) {
        struct pe_said *said = &visit->words[visit->n_words];
        TRY(pe_hear(visit->report, said));
        if (said->word == PE_RUNNING) {
            visit->runs = visit->n_words == 1 && visit->words[0].word == PE_BORN && visit->words[0].fd >= 0;
            break;
        }
        visit->n_words++;
    }
    if (visit->runs)
        close_fd(&visit->report);
    return visit->runs;
}

/* Every output that has something, once; whether one has no more room. */
static int take_all(const struct pollfd *of, struct pe_visit *visit)
{
    int full = 0;

    for (int i = 0; i < OUTPUTS; i++)
        if (of[i].revents)
            full |= take(visit, i);
    return full;
}

static int hear_outputs(int64_t deadline, struct pe_visit *visit)
{
    struct pollfd of[OUTPUTS + 1] = {[ENDED] = {.fd = visit->words[0].fd, .events = POLLIN}};

    for (;;) {
        for (int i = 0; i < OUTPUTS; i++)
            of[i] = (struct pollfd){.fd = visit->outputs[i], .events = POLLIN};
        int n = (int)TRY(await(of, OUTPUTS + 1, of[ENDED].fd < 0 ? 0 : deadline));
        if (n == 0) /* in vain, or, of one that is dead, all there was: others may hold its streams */
            return of[ENDED].fd < 0;
        if (take_all(of, visit))
            return 0;
        if (of[ENDED].revents)
            of[ENDED].fd = -1;
    }
}

int pe_begin_visit(int joiner, const char *plan, size_t size, struct pe_birth *birth, int target,
                   uint64_t joined, struct pe_visit *visit)
{
    int out[2], err[2];

    *visit = (struct pe_visit){.report = -1, .outputs = {-1, -1}};
    TRY(SYS(pipe2, out, O_CLOEXEC));
    int answer = (int)SYS(pipe2, err, O_CLOEXEC);
    if (answer == 0) {
        birth->stdio[1] = out[1];
        birth->stdio[2] = err[1];
        answer = pe_join(joiner, plan, size, birth, target, joined, &visit->report);
        close_fd(&err[1]);
        if (answer < 0)
            close_fd(&err[0]);
        visit->outputs[1] = err[0];
    }
    close_fd(&out[1]);
    if (answer < 0)
        close_fd(&out[0]);
    visit->outputs[0] = out[0];
    return answer;
}

int pe_see_through(int64_t deadline, struct pe_visit *visit)
{
    if (!visit->runs && TRY(hear_birth(deadline, visit)) == 0)
        return 0;
    if (TRY(hear_outputs(deadline, visit)) == 0)
        return 0;
    int reaped = pe_wait(visit->words[0].fd, 0, &visit->end);
    if (reaped == -ECHILD) /* somebody else has: there are other ways to learn how it ended */
        return 0;
    TRY(reaped);
    close_fd(&visit->words[0].fd);
    for (int i = 0; i < OUTPUTS; i++)
        close_fd(&visit->outputs[i]);
    return 1;
}

void pe_forget(struct pe_visit *visit)
{
    for (int i = 0; i < OUTPUTS; i++) {
        free(visit->data[i]);
        visit->data[i] = NULL;
        visit->size[i] = 0;
    }
}
