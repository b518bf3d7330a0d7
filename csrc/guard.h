/* What an owner tells its guard, a message a word.  cffi parses this too.  Declarations only. */

enum pe_guard_op {
    PE_GUARD_OWNER = 1, /* fds: the owner's pidfd, the directory of owners; text: its own name there */
    PE_GUARD_TREE,      /* fd: a cgroup tree; text: a path in it, with all below to be killed and removed */
    PE_GUARD_EACH,      /* fd: a cgroup tree; text: where in it the cgroup of each container of its is */
    PE_GUARD_LINKS,     /* fd: a directory: links in it to what is the owner's own go with that */
    PE_GUARD_FILE,      /* fd: a directory; text: a name in it that goes, with all below */
    PE_GUARD_HOLD,      /* fds: a pidfd, to be killed, and what else to keep open; key */
    PE_GUARD_DROP,      /* key: that is over */
    PE_GUARD_BYE,       /* all is put right: leave */
    PE_GUARD_USERS,     /* fd: a user namespace, whose users' files have to go too */
    PE_GUARD_DOOR,      /* fds: a listening socket, the directory of its name; text: that */
    PE_GUARD_KEEP,      /* fd: to be had at the door once the owner is dead; key */
    PE_GUARD_UNKEEP,    /* key: nobody needs it any more */
    PE_GUARD_TAKE       /* at the door, key: answered with the same word and the fd; op is 0 without one */
};

#define PE_GUARD_TEXT 496
#define PE_GUARD_FDS 5

struct pe_guard_word {
    uint32_t op;
    uint32_t size; /* of the text */
    uint64_t key;
    char text[PE_GUARD_TEXT];
};
