/* Runs one contender: some threads or processes that enqueue, all from the same moment on.
 *
 *   PROGRAM DIRECTORY [--events N] [--threads N | --processes N] [--per-call N] [--rate N] [--latency]
 *                     [--durability process|power] [--endpoint URL] [--fdatasync]
 *
 * Prints one JSON object. `ns_per_event` is the time from the start of the first worker to the end of
 * the last one, divided by the events of all of them; `cpu_ns_per_event` is what they computed. With
 * --latency one worker times each call by itself, see latency.h. --rate is in calls a second.
 */

#ifndef CONTEST_H
#define CONTEST_H

#define _GNU_SOURCE /* RUSAGE_THREAD; so this header comes before any other */

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "clock.h"
#include "event.h"
#include "latency.h"

enum { WORKERS_MAX = 256 };

struct options {
  const char *directory, *durability, *endpoint;
  long events, rate;
  int threads, processes, per_call;
  bool latency, fdatasync;
};

/* Somebody who enqueues. */
struct contender {
  void *(*open)(const struct options *);
  /* For each worker, of what `open` gave to its process. */
  void *(*seat)(void *opened, int worker);
  /* Event number `event`, or `per_call` events from there on. */
  void (*enqueue)(void *seat, long event);
  /* NULL: a twentieth of the events is enqueued first, and not counted. */
  void (*warm_up)(void *seat, long events);
};

struct times {
  int64_t began_ns, ended_ns, cpu_ns;
};

/* Shared by all workers, also if they are processes. */
struct crew {
  pthread_barrier_t all_are_ready;
  struct times times[WORKERS_MAX];
};

static struct options options = {
    .durability = "process", .endpoint = "http://127.0.0.1:9/x", .events = 1000000, .threads = 1, .per_call = 1};
static const struct contender *contender;
static struct crew *crew;

static int workers(void) { return options.processes > 0 ? options.processes : options.threads; }

static void work_off(void *seat, long events) {
  for (long i = 0; i < events; i += options.per_call)
    contender->enqueue(seat, i);
}

static void wait_until(int64_t ns) {
  struct timespec then = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &then, NULL);
}

static void time_each(void *seat, struct latencies *latencies) {
  int64_t first_ns = now_ns(), pause_ns = options.rate > 0 ? 1000000000 / options.rate : 0;
  for (long i = 0; i < options.events; i += options.per_call) {
    if (pause_ns > 0)
      wait_until(first_ns + i / options.per_call * pause_ns);
    int64_t began_ns = call_begins(latencies);
    contender->enqueue(seat, i);
    call_ended(latencies, began_ns);
  }
}

static void work(void *opened, int worker, struct latencies *latencies) {
  void *seat = contender->seat(opened, worker);
  struct times *times = &crew->times[worker];
  long share = options.events / workers();
  if (contender->warm_up != NULL)
    contender->warm_up(seat, share);
  else
    work_off(seat, share / 20);

  pthread_barrier_wait(&crew->all_are_ready);
  int64_t cpu_ns = thread_cpu_ns();
  times->began_ns = now_ns();
  if (latencies != NULL)
    time_each(seat, latencies);
  else
    work_off(seat, share);
  times->ended_ns = now_ns();
  times->cpu_ns = thread_cpu_ns() - cpu_ns;
}

struct post {
  pthread_t thread;
  void *opened;
  int worker;
};

static void *work_in_thread(void *post) {
  work(((struct post *)post)->opened, ((struct post *)post)->worker, NULL);
  return NULL;
}

static void run_threads(void) {
  struct post posts[WORKERS_MAX];
  void *opened = contender->open(&options);
  if (options.threads == 1) { /* as in a program that never had another one */
    work(opened, 0, NULL);
    return;
  }
  for (int i = 0; i < options.threads; i++) {
    posts[i] = (struct post){.opened = opened, .worker = i};
    if (pthread_create(&posts[i].thread, NULL, work_in_thread, &posts[i]) != 0)
      fail("thread", "cannot start");
  }
  for (int i = 0; i < options.threads; i++)
    pthread_join(posts[i].thread, NULL);
}

/* Each process opens for itself, as programs that know nothing of each other do. */
static void run_processes(void) {
  for (int i = 0; i < options.processes; i++) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL); /* the others may wait for one that failed */
      work(contender->open(&options), i, NULL);
      _exit(0);
    }
  }
  for (int status, i = 0; i < options.processes; i++)
    if (wait(&status) < 0 || status != 0)
      fail("process", "failed");
}

static void print_times(void) {
  struct times all = crew->times[0];
  for (int i = 1; i < workers(); i++) {
    all.began_ns = crew->times[i].began_ns < all.began_ns ? crew->times[i].began_ns : all.began_ns;
    all.ended_ns = crew->times[i].ended_ns > all.ended_ns ? crew->times[i].ended_ns : all.ended_ns;
    all.cpu_ns += crew->times[i].cpu_ns;
  }
  long events = options.events / workers() * workers();
  printf("\"events\": %ld, \"ns_per_event\": %.1f, \"cpu_ns_per_event\": %.1f}\n", events,
         (double)(all.ended_ns - all.began_ns) / (double)events, (double)all.cpu_ns / (double)events);
}

static void read_options(int argc, char **argv) {
  static const struct option known[] = {
      {"events", required_argument, NULL, 'e'},     {"threads", required_argument, NULL, 't'},
      {"processes", required_argument, NULL, 'p'},  {"per-call", required_argument, NULL, 'c'},
      {"rate", required_argument, NULL, 'r'},       {"durability", required_argument, NULL, 'd'},
      {"endpoint", required_argument, NULL, 'u'},   {"latency", no_argument, NULL, 'l'},
      {"fdatasync", no_argument, NULL, 'f'},        {NULL, 0, NULL, 0}};
  for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    switch (option) {
    case 'e': options.events = atol(optarg); break;
    case 't': options.threads = atoi(optarg); break;
    case 'p': options.processes = atoi(optarg); break;
    case 'c': options.per_call = atoi(optarg); break;
    case 'r': options.rate = atol(optarg); break;
    case 'd': options.durability = optarg; break;
    case 'u': options.endpoint = optarg; break;
    case 'l': options.latency = true; break;
    case 'f': options.fdatasync = true; break;
    default: exit(2);
    }
  }
  if (optind + 1 != argc || options.per_call < 1 || workers() < 1 || workers() > WORKERS_MAX ||
      options.events < workers() || (options.latency && workers() > 1)) {
    fprintf(stderr, "%s: see benches/c/contest.h for how to call it\n", argv[0]);
    exit(2);
  }
  options.directory = argv[optind];
}

static void make_crew(void) {
  pthread_barrierattr_t shared;
  crew = mmap(NULL, sizeof *crew, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (crew == MAP_FAILED)
    fail("mmap", "no memory");
  pthread_barrierattr_init(&shared);
  pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&crew->all_are_ready, &shared, (unsigned)workers());
}

static int contest(int argc, char **argv, const struct contender *who) {
  contender = who;
  read_options(argc, argv);
  make_events();
  make_crew();
  printf("{");
  if (options.latency) {
    struct latencies latencies = latencies_of((options.events + options.per_call - 1) / options.per_call);
    prctl(PR_SET_TIMERSLACK, 1); /* of the pauses of --rate */
    work(contender->open(&options), 0, &latencies);
    print_latencies(&latencies);
    printf(", ");
  } else if (options.processes > 0) {
    fflush(stdout); /* or the children have a copy */
    run_processes();
  } else {
    run_threads();
  }
  print_times();
  fflush(stdout);
  _exit(0); /* what ends with the process is not part of the contest */
}

#endif
