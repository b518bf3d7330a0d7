/* Files with several names, while they are packed: a table of the names they were met by first. */
#include "pack.h"
#include <stdlib.h>
#include <string.h>

static struct known *slot(const struct links *links, uint64_t inode, uint64_t device)
{
    size_t at = (size_t)((inode ^ device << 20) * 0x9e3779b97f4a7c15 >> 20) & (links->room - 1);

    while (links->table[at].name && (links->table[at].inode != inode || links->table[at].device != device))
        at = (at + 1) & (links->room - 1);
    return &links->table[at];
}

static int grow_table(struct links *links)
{
    struct links larger = *links;

    larger.room = links->room ? 2 * links->room : 256;
    larger.table = calloc(larger.room, sizeof *larger.table);
    if (!larger.table)
        return -ENOMEM;
    for (size_t i = 0; i < links->room; i++)
        if (links->table[i].name)
            *slot(&larger, links->table[i].inode, links->table[i].device) = links->table[i];
    free(links->table);
    *links = larger;
    return 0;
}

static int keep_name(struct links *links, const char *name, size_t *place)
{
    size_t size = strlen(name) + 1, room = links->names_room ? links->names_room : 4096;

    while (room < links->names_size + size)
        room *= 2;
    if (room != links->names_room) {
        char *names = realloc(links->names, room);
        if (!names)
            return -ENOMEM;
        links->names = names;
        links->names_room = room;
    }
    memcpy(links->names + links->names_size, name, size);
    *place = links->names_size + 1;
    links->names_size += size;
    return 0;
}

int find_link(struct links *links, const struct stat *is, const char *name, const char **before)
{
    if (links->n * 2 >= links->room)
        TRY(grow_table(links));
    struct known *known = slot(links, is->st_ino, is->st_dev);
    if (known->name) {
        *before = links->names + known->name - 1;
        return 1;
    }
    size_t place;
    TRY(keep_name(links, name, &place));
    *known = (struct known){.inode = is->st_ino, .device = is->st_dev, .name = place};
    links->n++;
    return 0;
}

void forget_links(struct links *links)
{
    free(links->table);
    free(links->names);
}
