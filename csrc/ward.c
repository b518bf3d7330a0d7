/* What a dead owner has left is killed, then buried, in an order that may be broken off anywhere and done
 * again by another: openers of the root do the same (containers/recovery.py).
 *
 * Nothing is allocated, and nothing that fails keeps the rest from being done. */
#include "ward.h"
#include <poll.h>
#include <sys/file.h>

enum { ID_LENGTH = 64, NAMES = 4096 };

static void close_all(const int *fds, int n_fds)
{
    for (int i = 0; i < n_fds; i++)
        SYS(close, fds[i]);
}

/* --- what it is told --- */

static int note_owner(struct ward *ward, const struct pe_guard_word *word, const int *fds)
{
    if (ward->owner >= 0 || !word->size)
        return -EINVAL;
    ward->owner = fds[0];
    ward->owners = fds[1];
    ward->lock = -1;
    copy_text(ward->name, word->text, word->size);
    return 0;
}

static int note_place(struct ward *ward, const struct pe_guard_word *word, int directory)
{
    if (ward->n_places == MOST_PLACES)
        return -ENOSPC;
    struct place *place = &ward->places[ward->n_places++];
    place->op = word->op;
    place->directory = directory;
    copy_text(place->text, word->text, word->size);
    return 0;
}

static struct held *find(struct ward *ward, uint64_t key)
{
    for (int i = 0; i < ward->n_held; i++)
        if (ward->held[i].key == key)
            return &ward->held[i];
    return NULL;
}

static int drop(struct ward *ward, uint64_t key)
{
    struct held *held = key ? find(ward, key) : NULL;

    if (!held)
        return -ENOENT;
    for (int i = 0; i < PE_GUARD_FDS; i++)
        close_fd(&held->fds[i]);
    held->key = 0;
    return 0;
}

static int hold(struct ward *ward, uint64_t key, const int *fds, int n_fds)
{
    struct held *held = find(ward, 0);

    if (!key || find(ward, key))
        return -EINVAL;
    if (!held && ward->n_held == MOST_HELD)
        return -ENOSPC;
    held = held ? held : &ward->held[ward->n_held++];
    held->key = key;
    for (int i = 0; i < PE_GUARD_FDS; i++)
        held->fds[i] = i < n_fds ? fds[i] : -1;
    return 0;
}

static int take(struct ward *ward, const struct pe_guard_word *word, const int *fds, int n_fds)
{
    if (word->size >= PE_GUARD_TEXT)
        return -EMSGSIZE;
    switch (word->op) {
    case PE_GUARD_OWNER:
        return n_fds == 2 ? note_owner(ward, word, fds) : -EINVAL;
    case PE_GUARD_TREE:
    case PE_GUARD_EACH:
    case PE_GUARD_FILE:
    case PE_GUARD_LINKS:
        if (n_fds != 1 || (!word->size && word->op != PE_GUARD_LINKS))
            return -EINVAL;
        return note_place(ward, word, fds[0]);
    case PE_GUARD_USERS:
        return n_fds == 1 && ward->users < 0 ? (ward->users = fds[0], 0) : -EINVAL;
    case PE_GUARD_HOLD:
        return n_fds > 0 && n_fds <= PE_GUARD_FDS ? hold(ward, word->key, fds, n_fds) : -EINVAL;
    case PE_GUARD_DROP:
    case PE_GUARD_BYE:
        if (n_fds)
            return -EINVAL;
        return word->op == PE_GUARD_BYE ? 1 : drop(ward, word->key);
    default:
        return -EINVAL;
    }
}

int note(struct ward *ward, const struct pe_guard_word *word, const int *fds, int n_fds)
{
    int taken = take(ward, word, fds, n_fds);

    if (taken < 0)
        close_all(fds, n_fds);
    return taken;
}

void forget(struct ward *ward)
{
    for (int i = 0; i < ward->n_held; i++)
        if (ward->held[i].key)
            drop(ward, ward->held[i].key);
    for (int i = 0; i < ward->n_places; i++)
        close_fd(&ward->places[i].directory);
    close_fd(&ward->lock);
    close_fd(&ward->users);
    if (ward->owner >= 0)
        close_fd(&ward->owners);
    close_fd(&ward->owner);
    ward->n_places = ward->n_held = 0;
}

/* --- is it dead? --- */

int is_dead(const struct ward *ward)
{
    struct pollfd owner = {.fd = ward->owner, .events = POLLIN};
    struct timespec now = {0};

    if (ward->owner < 0 || SYS(ppoll, &owner, 1, &now, NULL, 0) <= 0)
        return 0;
    if (owner.revents & POLLIN)
        return 1;
    /* a kernel that does not let us look at somebody else's: only who is reaped is dead then */
    return SYS(pidfd_send_signal, ward->owner, 0, NULL, 0) == -ESRCH;
}

int is_forsaken(struct ward *ward)
{
    int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

    if (ward->owner < 0)
        return 0;
    if (ward->lock < 0)
        ward->lock = (int)SYS(openat, ward->owners, ward->name, how);
    return ward->lock >= 0 && SYS(flock, ward->lock, LOCK_EX | LOCK_NB) == 0;
}

/* --- the owner's containers, one by one --- */

struct each {
    struct ward *ward;
    const struct place *place;
    int (*work)(int tree, const char *path, int64_t deadline);
    int64_t deadline;
    int n_left;
};

static int work_on(void *with, int directory, const struct entry *entry)
{
    struct each *each = with;
    const char *above = each->place->text;
    char path[PE_GUARD_TEXT + ID_LENGTH + 2];
    size_t n = length(above);

    (void)directory;
    if (length(entry->name) != ID_LENGTH)
        return 0;
    copy_text(path, above, n);
    path[n] = '/';
    copy_text(path + n + 1, entry->name, ID_LENGTH);
    each->n_left += each->work(each->place->directory, path, each->deadline);
    return 0;
}

static const char *hidden(const struct ward *ward, char *name)
{
    copy_text(name, ".dead-", 6);
    copy_text(name + 6, ward->name, length(ward->name));
    return name;
}

static void for_each_container(struct each *each)
{
    char room[NAMES], name[PE_GUARD_TEXT + 8];
    OWNED_FD house = open_directory(each->ward->owners, each->ward->name);

    if (house < 0) /* an opener of the root was quicker */
        house = open_directory(each->ward->owners, hidden(each->ward, name));
    if (house >= 0)
        for_each_entry(house, room, sizeof room, work_on, each);
}

static int kill_only(int tree, const char *path, int64_t deadline)
{
    (void)deadline;
    kill_cgroup(tree, path);
    return 0;
}

/* --- the end --- */

void kill_all(struct ward *ward)
{
    for (int i = 0; i < ward->n_places; i++) {
        const struct place *place = &ward->places[i];
        struct each each = {.ward = ward, .place = place, .work = kill_only};
        if (place->op == PE_GUARD_TREE)
            kill_cgroup(place->directory, place->text);
        else if (place->op == PE_GUARD_EACH)
            for_each_container(&each);
    }
    for (int i = 0; i < ward->n_held; i++)
        if (ward->held[i].key)
            SYS(pidfd_send_signal, ward->held[i].fds[0], SIGKILL, NULL, 0);
}

static int end_cgroups(struct ward *ward, int64_t deadline)
{
    int n_left = 0;

    for (int i = 0; i < ward->n_places; i++) {
        const struct place *place = &ward->places[i];
        struct each each = {.ward = ward, .place = place, .work = end_cgroup, .deadline = deadline};
        if (place->op == PE_GUARD_TREE)
            n_left += end_cgroup(place->directory, place->text, deadline);
        else if (place->op == PE_GUARD_EACH)
            for_each_container(&each);
        else
            continue;
        n_left += each.n_left;
        remove_marked(place->directory, place->text);
    }
    return n_left;
}

/* An opener may be at it too, and then each finds that the other has been there. */
static void remove_patiently(struct ward *ward, int directory, const char *name, int64_t deadline)
{
    const struct timespec pause = {.tv_nsec = 5000000};

    for (;;) {
        int removed = remove_tree(directory, name, &ward->sweep);
        if (removed == 0 || removed == -ENOENT || milliseconds_now() >= deadline)
            return;
        SYS(ppoll, NULL, 0, &(struct timespec){.tv_nsec = pause.tv_nsec}, NULL, 0);
    }
}

static const char RECORD[] = "{\"version\":1,\"place\":\""; /* see pyengine/store/records.py */

/* Where a record says that it is, which is the first thing that it says. */
static long read_place(int directory, const char *name, char *place, size_t size)
{
    const size_t before = sizeof RECORD - 1;
    OWNED_FD file = (int)TRY(SYS(openat, directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    long got = TRY(SYS(read, file, place, size));

    if (got < (long)before)
        return 0;
    for (size_t i = 0; i < before; i++)
        if (place[i] != RECORD[i])
            return 0;
    for (size_t i = before; i < (size_t)got; i++)
        place[i - before] = place[i];
    return got - (long)before;
}

/* A name is a link to OWNER/ID, or another link to the record of that. */
static int remove_link(void *with, int directory, const struct entry *entry)
{
    const struct ward *ward = with;
    size_t n = length(ward->name);
    char target[PE_GUARD_TEXT];
    long got = SYS(readlinkat, directory, entry->name, target, sizeof target);

    if (got == -EINVAL)
        got = read_place(directory, entry->name, target, sizeof target);
    if (got <= (long)n || target[n] != '/')
        return 0;
    target[n] = 0;
    if (same(target, ward->name))
        SYS(unlinkat, directory, entry->name, 0);
    return 0;
}

/* Under the lock of whoever takes a name away from the dead: it may be another's by then. */
static void remove_links(struct ward *ward, int place)
{
    char room[NAMES];
    OWNED_FD directory = open_directory(place, ".");

    if (directory < 0 || SYS(flock, directory, LOCK_EX) < 0)
        return;
    for_each_entry(directory, room, sizeof room, remove_link, ward);
}

void bury(struct ward *ward, int64_t patience)
{
    int64_t deadline = milliseconds_now() + patience;
    char name[PE_GUARD_TEXT + 8];

    if (ward->owner < 0)
        return;
    /* out of sight first: nobody shall see half of it */
    SYS(renameat2, ward->owners, ward->name, ward->owners, hidden(ward, name), 0);
    if (end_cgroups(ward, deadline))
        return;           /* as long as its directory is there, openers of the root will try again */
    if (ward->users >= 0) /* who made it may do all there, whatever his own id is */
        SYS(setns, ward->users, CLONE_NEWUSER);
    remove_patiently(ward, ward->owners, name, deadline);
    for (int i = 0; i < ward->n_places; i++) {
        const struct place *place = &ward->places[i];
        if (place->op == PE_GUARD_LINKS)
            remove_links(ward, place->directory);
        else if (place->op == PE_GUARD_FILE)
            remove_patiently(ward, place->directory, place->text, deadline);
    }
}
