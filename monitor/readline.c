/* SPDX-License-Identifier: MIT */
/*
 * The line editor of the human monitor.  It redraws from the cursor on with the few sequences
 * every terminal has (ECMA-48: CSI n D moves left, CSI K erases to the end of the line).
 */
#include "monitor/readline.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MAX_LINE 4096
#define MAX_HISTORY 200

typedef enum { PLAIN, ESCAPE, CSI, SS3 } InputState;

struct Readline {
    const ReadlineOps *ops;
    void *opaque;
    char *prompt;
    GString *line;
    size_t cursor;
    InputState state;
    unsigned parameter;         /* number of a CSI sequence */
    GPtrArray *history;
    guint at;                   /* in the history; its length: the line being typed */
    char *draft;                /* that line, while an old one is shown */
    bool swallow_newline;       /* a CR came just now: LF belongs to it */
    bool listed;                /* Tab was pressed twice */
};

Readline *readline_new(const char *prompt, const ReadlineOps *ops, void *opaque)
{
    Readline *r = g_new0(Readline, 1);
    r->ops = ops;
    r->opaque = opaque;
    r->prompt = g_strdup(prompt);
    r->line = g_string_new(NULL);
    r->history = g_ptr_array_new_with_free_func(g_free);
    return r;
}

void readline_free(Readline *r)
{
    g_free(r->prompt);
    g_free(r->draft);
    g_string_free(r->line, TRUE);
    g_ptr_array_free(r->history, TRUE);
    g_free(r);
}

const GPtrArray *readline_history(const Readline *r)
{
    return r->history;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static void print(Readline *r, const char *text)
{
    r->ops->print(r->opaque, text);
}

static void left(Readline *r, size_t n)
{
    char seq[32];
    if (n) {
        snprintf(seq, sizeof(seq), "\033[%zuD", n);
        print(r, seq);
    }
}

/* The terminal's cursor stands `shown` characters behind the line's start. */
static void redraw(Readline *r, size_t shown)
{
    left(r, shown);
    print(r, r->line->str);
    print(r, "\033[K");
    left(r, r->line->len - r->cursor);
}

void readline_show(Readline *r)
{
    print(r, "\r");
    print(r, r->prompt);
    redraw(r, 0);
}

static void begin_line(Readline *r)
{
    g_string_truncate(r->line, 0);
    r->cursor = 0;
    r->at = r->history->len;
    g_clear_pointer(&r->draft, g_free);
}

void readline_restart(Readline *r)
{
    begin_line(r);
    r->state = PLAIN;
}

/* ---- editing --------------------------------------------------------------------------------- */

static void insert(Readline *r, const char *text, size_t len)
{
    size_t before = r->cursor;
    if (r->line->len + len > MAX_LINE) {
        return;
    }
    g_string_insert_len(r->line, r->cursor, text, len);
    r->cursor += len;
    if (r->cursor == r->line->len) {
        print(r, r->line->str + before);
    } else {
        redraw(r, before);
    }
}

static void erase(Readline *r, size_t from, size_t to)
{
    size_t before = r->cursor;
    g_string_erase(r->line, from, to - from);
    r->cursor = from;
    redraw(r, before);
}

static void move(Readline *r, size_t to)
{
    size_t before = r->cursor;
    r->cursor = MIN(to, r->line->len);
    redraw(r, before);
}

static size_t word_left(const Readline *r)
{
    size_t i = r->cursor;
    while (i > 0 && r->line->str[i - 1] == ' ') {
        i--;
    }
    while (i > 0 && r->line->str[i - 1] != ' ') {
        i--;
    }
    return i;
}

static size_t word_right(const Readline *r)
{
    size_t i = r->cursor;
    while (i < r->line->len && r->line->str[i] == ' ') {
        i++;
    }
    while (i < r->line->len && r->line->str[i] != ' ') {
        i++;
    }
    return i;
}

/* ---- history ---------------------------------------------------------------------------------- */

static void show_old(Readline *r, guint at)
{
    size_t before = r->cursor;
    if (r->at == r->history->len) {
        g_free(r->draft);
        r->draft = g_strdup(r->line->str);
    }
    r->at = at;
    g_string_assign(r->line, at < r->history->len ? r->history->pdata[at] : r->draft);
    r->cursor = r->line->len;
    redraw(r, before);
}

static void remember(Readline *r)
{
    const char *last = r->history->len ? r->history->pdata[r->history->len - 1] : "";
    if (r->line->len && strcmp(last, r->line->str)) {
        if (r->history->len == MAX_HISTORY) {
            g_ptr_array_remove_index(r->history, 0);
        }
        g_ptr_array_add(r->history, g_strdup(r->line->str));
    }
}

static void enter(Readline *r)
{
    if (r->cursor < r->line->len) {
        move(r, r->line->len);
    }
    print(r, "\n");
    remember(r);
    char *line = g_strdup(r->line->str);
    begin_line(r);
    r->ops->line(r->opaque, line);
    g_free(line);
}

/* ---- completion -------------------------------------------------------------------------------- */

static size_t common_prefix(const GPtrArray *words)
{
    const char *first = words->pdata[0];
    size_t n = strlen(first);
    for (guint i = 1; i < words->len; i++) {
        const char *w = words->pdata[i];
        size_t k = 0;
        while (k < n && w[k] == first[k]) {
            k++;
        }
        n = k;
    }
    return n;
}

static void list_candidates(Readline *r, const GPtrArray *words)
{
    size_t width = 0, column = 0;
    for (guint i = 0; i < words->len; i++) {
        width = MAX(width, strlen(words->pdata[i]) + 2);
    }
    print(r, "\n");
    for (guint i = 0; i < words->len; i++) {
        char *cell = g_strdup_printf("%-*s", (int)width, (char *)words->pdata[i]);
        print(r, cell);
        g_free(cell);
        column += width;
        if (column + width > 79 || i + 1 == words->len) {
            print(r, "\n");
            column = 0;
        }
    }
    readline_show(r);
}

static void complete(Readline *r)
{
    char *head = g_strndup(r->line->str, r->cursor);
    GPtrArray *words = r->ops->complete ? r->ops->complete(r->opaque, head) : NULL;
    if (words && words->len) {
        const char *space = strrchr(head, ' ');
        size_t typed = strlen(space ? space + 1 : head), common = common_prefix(words);
        const char *word = words->pdata[0];
        if (common > typed) {
            insert(r, word + typed, common - typed);
        }
        if (words->len == 1) {
            if (!g_str_has_suffix(word, "/")) {
                insert(r, " ", 1);
            }
        } else if (common <= typed) {
            list_candidates(r, words);
        }
    }
    if (words) {
        g_ptr_array_set_free_func(words, g_free);
        g_ptr_array_free(words, TRUE);
    }
    g_free(head);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

static void up(Readline *r)
{
    if (r->at > 0) {
        show_old(r, r->at - 1);
    }
}

static void down(Readline *r)
{
    if (r->at < r->history->len) {
        show_old(r, r->at + 1);
    }
}

static void delete_here(Readline *r)
{
    if (r->cursor < r->line->len) {
        erase(r, r->cursor, r->cursor + 1);
    }
}

static void control_key(Readline *r, unsigned char c)
{
    switch (c) {
    case 1:                             /* Ctrl-A */
        move(r, 0);
        break;
    case 4:                             /* Ctrl-D */
        delete_here(r);
        break;
    case 5:                             /* Ctrl-E */
        move(r, r->line->len);
        break;
    case 2:                             /* Ctrl-B */
        move(r, r->cursor ? r->cursor - 1 : 0);
        break;
    case 6:                             /* Ctrl-F */
        move(r, r->cursor + 1);
        break;
    case 8:
    case 127:                           /* Backspace */
        if (r->cursor) {
            erase(r, r->cursor - 1, r->cursor);
        }
        break;
    case 9:                             /* Tab */
        complete(r);
        break;
    case 10:
    case 13:
        enter(r);
        break;
    case 11:                            /* Ctrl-K */
        erase(r, r->cursor, r->line->len);
        break;
    case 12:                            /* Ctrl-L */
        print(r, "\033[2J\033[H");
        readline_show(r);
        break;
    case 14:                            /* Ctrl-N */
        down(r);
        break;
    case 16:                            /* Ctrl-P */
        up(r);
        break;
    case 21:                            /* Ctrl-U */
        erase(r, 0, r->cursor);
        break;
    case 23:                            /* Ctrl-W */
        erase(r, word_left(r), r->cursor);
        break;
    case 27:
        r->state = ESCAPE;
        break;
    }
}

static void csi_key(Readline *r, unsigned char c)
{
    switch (c) {
    case 'A':
        up(r);
        break;
    case 'B':
        down(r);
        break;
    case 'C':
        move(r, r->cursor + 1);
        break;
    case 'D':
        move(r, r->cursor ? r->cursor - 1 : 0);
        break;
    case 'F':
        move(r, r->line->len);
        break;
    case 'H':
        move(r, 0);
        break;
    case '~':
        if (r->parameter == 3) {
            delete_here(r);
        } else if (r->parameter == 1 || r->parameter == 7) {
            move(r, 0);
        } else if (r->parameter == 4 || r->parameter == 8) {
            move(r, r->line->len);
        }
        break;
    }
}

static void escape_key(Readline *r, unsigned char c)
{
    r->state = PLAIN;
    if (c == '[') {
        r->state = CSI;
        r->parameter = 0;
    } else if (c == 'O') {
        r->state = SS3;
    } else if (c == 'b') {
        move(r, word_left(r));
    } else if (c == 'f') {
        move(r, word_right(r));
    } else if (c == 'd') {
        erase(r, r->cursor, word_right(r));
    }
}

void readline_byte(Readline *r, unsigned char c)
{
    bool after_cr = r->swallow_newline;
    r->swallow_newline = c == 13;
    switch (r->state) {
    case ESCAPE:
        escape_key(r, c);
        break;
    case CSI:
        if (c >= '0' && c <= '9') {
            r->parameter = (r->parameter * 10 + c - '0') % 1000;
        } else if (c != ';') {
            r->state = PLAIN;
            csi_key(r, c);
        }
        break;
    case SS3:
        r->state = PLAIN;
        csi_key(r, c);
        break;
    case PLAIN:
        if (c == 10 && after_cr) {
            break;
        }
        if (c < 32 || c == 127) {
            control_key(r, c);
        } else {
            insert(r, (const char *)&c, 1);
        }
        break;
    }
}
