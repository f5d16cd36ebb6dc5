/* A program as a phone has it: a TUN from somebody else, no rights, and hairpin inside.
 *
 *   embedded FD [--memory BYTES] [--workers N] [--reload]  < configuration
 *
 * Gives up all rights first. Answers lines on standard input behind the configuration, which ends with a line
 * ".": "counters", "reload" (a configuration follows), "stop". */
#include <errno.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "embed/hairpin.h"

static atomic_int protected_sockets;
static atomic_int refuses;

static int protect(int socket, void* context) {
  (void)socket;
  if (context != &protected_sockets) abort();
  atomic_fetch_add(&protected_sockets, 1);
  return atomic_load(&refuses);
}

static void tell(int level, const char* line, void* context) {
  (void)context;
  fprintf(stderr, "%d %s\n", level, line);
}

static char* read_text(void) {
  static char text[1 << 16];
  char line[4096];
  text[0] = 0;
  while (fgets(line, sizeof line, stdin) != NULL && strcmp(line, ".\n") != 0) {
    strncat(text, line, sizeof text - strlen(text) - 1);
  }
  return text;
}

static void say(int code) {
  printf("%d %s\n", code, code == HAIRPIN_OK ? "" : hairpin_error());
  fflush(stdout);
}

int main(int count, char** words) {
  char line[256];
  const int fd = atoi(words[1]);
  if (getuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
    perror("give up rights");
    return 1;
  }
  for (int i = 2; i < count; ++i) {
    if (strcmp(words[i], "--memory") == 0) hairpin_set_memory_limit((size_t)atol(words[++i]));
    if (strcmp(words[i], "--workers") == 0) hairpin_set_workers((unsigned)atoi(words[++i]));
  }
  hairpin_set_protect(protect, &protected_sockets);
  hairpin_set_log(tell, NULL);
  say(hairpin_start(read_text(), fd));
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, "counters") == 0) {
      char* counters = hairpin_counters();
      printf("%s\n", counters == NULL ? "none" : counters);
      hairpin_free(counters);
    } else if (strcmp(line, "protected") == 0) {
      printf("%d\n", atomic_load(&protected_sockets));
    } else if (strcmp(line, "refuse") == 0) {
      atomic_store(&refuses, 1);
      printf("ok\n");
    } else if (strcmp(line, "reload") == 0) {
      say(hairpin_reload(read_text()));
    } else if (strcmp(line, "start") == 0) {
      say(hairpin_start(read_text(), fd));
    } else if (strcmp(line, "stop") == 0) {
      say(hairpin_stop());
    }
    fflush(stdout);
  }
  return 0;
}
