/* SPDX-License-Identifier: MIT */
/*
 * What the files of the VNC server share.  Specification: RFC 6143 ("the RFC") and the rfbproto
 * document of the libvncserver/tigervnc community for everything beyond it.
 *
 * A server shows one console.  `shadow` is the picture its clients know of or will be told:
 * after each refresh the parts of the console's surface that were reported changed are compared
 * with it tile by tile, copied, and marked dirty for each client.  A client that asked for an
 * update gets the rectangles of its dirty tiles.  They are encoded one by one, and the next only
 * when the socket took what was before: whatever is waiting for a client is never more than one
 * rectangle (OUT_HIGH), however slowly it reads; meanwhile its tiles collect changes.
 */
#ifndef UI_VNC_INT_H
#define UI_VNC_INT_H

#include <zlib.h>
#include "ui/console.h"
#include "ui/keystate.h"
#include "util/address.h"
#include "util/json.h"
#include "util/timer.h"
#include "util/sasl.h"
#include "util/tls.h"

#define TILE_W          64
#define TILE_H          16
#define RECT_PIXELS     32768           /* of one encoded rectangle, at most */
#define RECT_WIDTH      1024            /* a multiple of TILE_W; Tight allows 2048 */
#define OUT_HIGH        (64 << 10)      /* encode no more while so many bytes are waiting */
#define IN_STOP         (512 << 10)     /* take no more messages while so many bytes are waiting */
#define ASIDE_MAX       (512 << 10)
#define IN_CHUNK        4096
#define MESSAGE_MAX     (300 << 10)     /* longest message we take whole: all 65535 encodings */
#define CUT_TEXT_MAX    (1 << 20)       /* longest text we let pass */

enum { /* encodings and pseudo-encodings */
    ENC_RAW = 0, ENC_COPYRECT = 1, ENC_RRE = 2, ENC_HEXTILE = 5, ENC_ZLIB = 6, ENC_TIGHT = 7,
    ENC_ZRLE = 16,
    ENC_JPEG_QUALITY_0 = -32, ENC_DESKTOP_SIZE = -223, ENC_LAST_RECT = -224, ENC_CURSOR = -239,
    ENC_XCURSOR = -240, ENC_COMPRESS_0 = -256, ENC_POINTER_TYPE = -257, ENC_EXT_KEY = -258,
    ENC_AUDIO = -259, ENC_LED_STATE = -261, ENC_DESKTOP_NAME = -307, ENC_EXT_DESKTOP_SIZE = -308,
    ENC_XVP = -309, ENC_FENCE = -312, ENC_ALPHA_CURSOR = -314, ENC_WMVI = 0x574d5669,
    ENC_EXT_CLIPBOARD = (int)0xc0a1e5ce,
};
enum { /* features a client announced, bits */
    HAS_COPYRECT = 1 << 0, HAS_DESKTOP_SIZE = 1 << 1, HAS_EXT_DESKTOP_SIZE = 1 << 2,
    HAS_CURSOR = 1 << 3, HAS_ALPHA_CURSOR = 1 << 4, HAS_POINTER_TYPE = 1 << 5,
    HAS_EXT_KEY = 1 << 6, HAS_LED_STATE = 1 << 7, HAS_WMVI = 1 << 8, HAS_XVP = 1 << 9,
    HAS_DESKTOP_NAME = 1 << 10, HAS_CLIPBOARD = 1 << 11, HAS_AUDIO = 1 << 12,
};

typedef enum { AUTH_NONE = 1, AUTH_VNC = 2, AUTH_VENCRYPT = 19, AUTH_SASL = 20 } VncAuth;
typedef enum { VENCRYPT_TLS_NONE = 257, VENCRYPT_TLS_VNC = 258, VENCRYPT_X509_NONE = 260,
               VENCRYPT_X509_VNC = 261, VENCRYPT_X509_SASL = 263, VENCRYPT_TLS_SASL = 264 } VncSubAuth;
typedef enum { SHARE_ALLOW_EXCLUSIVE, SHARE_FORCE_SHARED, SHARE_IGNORE } SharePolicy;

typedef struct PixelFormat {
    uint8_t bpp, depth;                 /* 8, 16, 32 */
    bool big_endian, true_color;
    uint16_t max[3];                    /* red, green, blue */
    uint8_t shift[3];
} PixelFormat;

typedef struct VncServer VncServer;
typedef struct VncClient VncClient;

/* A listening socket. */
typedef struct VncListener {
    VncServer *server;
    SocketAddress addr;
    int fd;
    guint watch;
    bool websocket;
    char *host, *service, *family;      /* as the monitor shows them */
} VncListener;

struct VncServer {
    char *id;
    GPtrArray *listeners, *clients;     /* of VncListener*, VncClient* */
    VncAuth auth;
    VncSubAuth subauth;
    bool wants_password, wants_sasl;
    char *sasl_authz, *tls_authz;       /* objects that say who may come in; NULL: everybody */
    char *password;                     /* NULL: none set, nobody gets in */
    int64_t expires;                    /* seconds since 1970; INT64_MAX = never */
    TlsCreds *tls;
    SharePolicy share;
    unsigned max_clients, key_delay_ms;
    bool lossy, power_control, lock_key_sync;
    bool fixed_console;                 /* display=: Ctrl-Alt-digits go to the guest */

    Console *console;                   /* NULL: there is none */
    pixman_image_t *surface;            /* the console's, reference held */
    pixman_image_t *shadow;             /* x8r8g8b8, w * h */
    unsigned w, h, tiles_x, tiles_y;
    bool *touched;                      /* rows of tiles reported changed since `frame` */
    uint32_t *cursor;                   /* argb, or NULL */
    int cursor_w, cursor_h, hot_x, hot_y;

    KeyState keys;
    Timer key_timer;
    GQueue key_queue;                   /* of VncKey*, key-delay-ms apart */
    void *audio;                        /* ui_hooks.audio_find; NULL: clients hear nothing */
    unsigned locks, leds_seen;          /* the guest's locks as far as known; LEDs at last look */
};

/* Rectangles of one update; the picture they are of stays as it was then. */
typedef struct VncUpdate {
    GArray *rects;                      /* of pixman_box16_t, those not yet encoded from `next` on */
    guint next;
    pixman_image_t *picture;
} VncUpdate;

typedef struct VncZlib {
    z_stream z;
    bool open;
    int level;
} VncZlib;

/* Consumes a message of which len bytes are there: returns how many bytes it needs in all if
 * these are too few (more than len), else 0 after having taken c->want bytes or what it returned
 * before.  May close the client (c->closing). */
typedef size_t VncHandler(VncClient *c, const uint8_t *data, size_t len);

struct VncClient {
    VncServer *server;
    const VncListener *listener;        /* where it came in, or NULL */
    int fd;
    guint in_watch, out_watch;
    bool closing;                       /* freed from the main loop, soon */
    bool connected_said, initialized;
    bool skip_auth;                     /* whoever passed the connection knows who it is */
    char *host, *service, *family, *dname;

    /* transport: TLS, WebSocket, then the bytes of the protocol */
    TlsSession *tls;
    bool tls_handshake, websocket, ws_ready;
    GByteArray *ws_in;                  /* received, not yet unframed */
    uint64_t ws_left;                   /* bytes of the frame's payload still to come */
    uint8_t ws_mask[4], ws_mask_at, ws_opcode;
    GByteArray *in, *out;               /* of the protocol */
    GByteArray *aside;                  /* messages that wait for the end of an update */
    GByteArray *wire;                   /* being sent: what out held, framed for a WebSocket */
    size_t wire_at;                     /* ... bytes of it already sent */
    VncHandler *handler;
    size_t want;                        /* bytes the handler needs */
    uint32_t skip;                      /* bytes of a text still to come */
    GByteArray *cut;                    /* those that came; NULL: they are dropped */
    bool cut_extended, clipboard_waits; /* waits: to tell the client of a text */

    SaslSession *sasl;
    unsigned sasl_steps;
    char *sasl_user;                    /* NULL: not known */
    bool layer;                         /* bytes of the protocol go through sasl's layer */
    int minor;                          /* 3, 7, 8 */
    uint8_t challenge[16];

    PixelFormat pf;
    uint32_t lut[3][256];               /* channel value to bits of the client's pixel */
    bool rgb888;                        /* its pixels are sent as R, G, B bytes by Tight */
    int encoding;                       /* of rectangles */
    unsigned features;
    int quality, compress;              /* -1, or 0..9 */

    /* what it is owed */
    unsigned w, h;                      /* size it believes in */
    bool update_wanted, full_wanted;
    pixman_box16_t wanted;              /* region of the request */
    uint64_t *dirty;                    /* bitmap of tiles, rows of dirty_words */
    unsigned dirty_words;
    bool send_size, send_cursor, send_pointer_type, send_leds, send_ext_key, send_xvp, send_audio_ack;
    unsigned size_reason, size_status;  /* of ExtendedDesktopSize */
    bool was_absolute, copying;         /* copying: see vnc-update.c, scroll */
    unsigned leds;
    pixman_box16_t copy;                /* rectangle to copy first; empty = none */
    int copy_from_y;
    VncUpdate update;                   /* being sent */
    uint64_t *lossy;                    /* tiles sent with loss, a bitmap as dirty is; NULL: none */
    bool refining;                      /* nothing is sent with loss now */
    Timer refine_timer;

    void *audio_tap;                    /* while it listens */
    uint8_t audio_format, audio_channels;
    uint32_t audio_rate;
    bool audio_begun;                   /* as it was told */

    uint8_t buttons;
    int last_x, last_y;                 /* pointer, -1 = unknown */

    VncZlib zlib, zrle, tight[4];
    GByteArray *scratch;                /* of encoders */
};

/* ---- vnc.c: servers ------------------------------------------------------------------ */

/* l: where it came in, NULL: by another way.  The socket is the client's from now on. */
VncClient *vnc_client_new(VncServer *s, int fd, const VncListener *l, bool skip_auth);
Json *vnc_server_info(const VncServer *s, const VncListener *l);
const char *vnc_auth_name(const VncServer *s);
/* The pace of the refresh timer follows what clients want. */
void vnc_adjust_pace(VncServer *s);
void vnc_show_console(VncServer *s, Console *c);

/* ---- vnc-client.c: connections ------------------------------------------------------- */

void vnc_client_close(VncClient *c);    /* soon; nothing is sent or taken any more */
void vnc_expect(VncClient *c, VncHandler *h, size_t bytes);
void vnc_flush(VncClient *c);
size_t vnc_pending(const VncClient *c); /* bytes that wait for the socket */
void vnc_send(VncClient *c, const void *data, size_t len);
/* A whole message that is no update: it waits for the end of one that is being sent.  false: too
 * much is waiting, it was dropped. */
bool vnc_send_message(VncClient *c, const void *data, size_t len);
void vnc_send_u8(VncClient *c, uint8_t v);
void vnc_send_u16(VncClient *c, uint16_t v);
void vnc_send_u32(VncClient *c, uint32_t v);
void vnc_client_event(VncClient *c, const char *name);
Json *vnc_client_info(const VncClient *c);
/* Bytes of the protocol came: out of TLS and WebSocket. */
void vnc_take_bytes(VncClient *c, const uint8_t *data, size_t len);
/* From here on what is sent and taken goes through SASL's layer. */
void vnc_start_layer(VncClient *c);
void vnc_watch(VncClient *c);           /* the socket's watches follow what is waiting */

/* ---- vnc-auth.c: from the version to ClientInit -------------------------------------- */

void vnc_greet(VncClient *c);
void vnc_start_tls(VncClient *c);
void vnc_tls_progress(VncClient *c);    /* the handshake goes on */

void vnc_accept(VncClient *c, bool authenticated);
void vnc_reject(VncClient *c, const char *why);

/* ---- vnc-sasl.c ----------------------------------------------------------------------- */

/* Is there a mechanism for clients of this server? */
bool vnc_sasl_usable(const VncServer *s, bool unix_socket, Error **err);
void vnc_sasl_start(VncClient *c);
/* Through the layer; false: the connection is broken. */
bool vnc_sasl_encode(VncClient *c, const GByteArray *in, GByteArray *out);
bool vnc_sasl_decode(VncClient *c, const uint8_t *data, size_t len, GByteArray *out);

/* ---- vnc-ws.c: WebSocket ------------------------------------------------------------- */

void vnc_ws_input(VncClient *c, const uint8_t *data, size_t len);
void vnc_ws_frame(GByteArray *out, uint8_t opcode, const uint8_t *data, size_t len);

/* ---- vnc-msg.c: messages ------------------------------------------------------------- */

void vnc_start_protocol(VncClient *c);  /* after ClientInit */
void vnc_release_keys(VncServer *s);
void vnc_key_timer(void *opaque);

/* ---- vnc-clipboard.c ------------------------------------------------------------------ */

void vnc_clipboard_join(VncClient *c);
void vnc_clipboard_leave(VncClient *c);
void vnc_clipboard_announce(VncClient *c);      /* the client knows the extension */
void vnc_clipboard_continue(VncClient *c);      /* the socket took what was before */
/* A text of so many bytes comes, in pieces. */
void vnc_clipboard_begin(VncClient *c, bool extended, uint32_t len);
void vnc_clipboard_bytes(VncClient *c, const uint8_t *p, size_t len, bool last);

/* ---- vnc-audio.c ---------------------------------------------------------------------- */

/* Like VncHandler, of a message of at least 4 bytes. */
size_t vnc_audio_message(VncClient *c, const uint8_t *p, size_t len);
void vnc_audio_stop(VncClient *c);

/* ---- vnc-update.c: what is sent ------------------------------------------------------ */

extern const DisplayListener vnc_display_listener;
void vnc_client_resized(VncClient *c);  /* everything is dirty, of the server's size */
void vnc_mark(VncClient *c, int x, int y, int w, int h);
void vnc_try_update(VncClient *c);      /* if something is wanted and to be told */
void vnc_continue_update(VncClient *c);
void vnc_rect_header(VncClient *c, int x, int y, int w, int h, int32_t encoding);
void vnc_drop_update(VncClient *c);
/* A rectangle goes out with loss: when the picture stands still it is sent again without. */
void vnc_note_loss(VncClient *c, int x, int y, int w, int h);
void vnc_refine_timer(void *opaque);

/* ---- vnc-pixel.c: formats ------------------------------------------------------------ */

void vnc_set_format(VncClient *c, const PixelFormat *pf);
void vnc_default_format(PixelFormat *pf);
bool vnc_check_format(const PixelFormat *pf);
static inline uint32_t vnc_pixel(const VncClient *c, uint32_t rgb)
{
    return c->lut[0][rgb >> 16 & 0xff] | c->lut[1][rgb >> 8 & 0xff] | c->lut[2][rgb & 0xff];
}
/* Append n pixels in the client's format. */
void vnc_put_pixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n);
static inline void vnc_put_pixel(const VncClient *c, GByteArray *out, uint32_t rgb)
{
    vnc_put_pixels(c, out, &rgb, 1);
}
/* ... in three bytes or less where ZRLE and Tight want that. */
bool vnc_cpixel_is_short(const VncClient *c, unsigned *first_byte);
void vnc_put_cpixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n);
void vnc_put_tpixels(const VncClient *c, GByteArray *out, const uint32_t *rgb, unsigned n);

/* ---- vnc-enc-*.c: encoders ----------------------------------------------------------- */

/* A rectangle of a picture in x8r8g8b8. */
typedef struct VncRect {
    int x, y, w, h;
    const uint8_t *data;                /* of the rectangle's first pixel */
    unsigned stride;
} VncRect;
static inline const uint32_t *vnc_row(const VncRect *r, int y)
{
    return (const uint32_t *)(const void *)(r->data + (size_t)y * r->stride);
}
void vnc_encode_raw(VncClient *c, const VncRect *r);
void vnc_encode_rre(VncClient *c, const VncRect *r);
void vnc_encode_hextile(VncClient *c, const VncRect *r);
void vnc_encode_zlib(VncClient *c, const VncRect *r);
void vnc_encode_zrle(VncClient *c, const VncRect *r);
void vnc_encode_tight(VncClient *c, const VncRect *r);
/* Append data deflated to out, flushed so that the client can inflate it whole. */
void vnc_deflate(VncZlib *z, int level, const uint8_t *data, size_t len, GByteArray *out);
void vnc_zlib_end(VncZlib *z);

#endif
