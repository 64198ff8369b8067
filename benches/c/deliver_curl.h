/* Posts bodies with libcurl: one handle, so one connection that is kept. */

#ifndef DELIVER_CURL_H
#define DELIVER_CURL_H

#include <curl/curl.h>

#include "clock.h"

struct poster {
  CURL *handle;
  struct curl_slist *headers;
};

static size_t ignore_answer(char *bytes, size_t size, size_t count, void *unused) {
  (void)bytes, (void)unused;
  return size * count;
}

static struct poster open_poster(const char *url, const char *ca_file) {
  struct poster poster = {0};
  curl_global_init(CURL_GLOBAL_DEFAULT);
  poster.handle = curl_easy_init();
  poster.headers = curl_slist_append(poster.headers, "Content-Type: application/json");
  poster.headers = curl_slist_append(poster.headers, "Authorization: Bearer bench");
  poster.headers = curl_slist_append(poster.headers, "Expect:");
  curl_easy_setopt(poster.handle, CURLOPT_URL, url);
  curl_easy_setopt(poster.handle, CURLOPT_HTTPHEADER, poster.headers);
  curl_easy_setopt(poster.handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(poster.handle, CURLOPT_WRITEFUNCTION, ignore_answer);
  curl_easy_setopt(poster.handle, CURLOPT_POST, 1L);
  if (ca_file != NULL)
    curl_easy_setopt(poster.handle, CURLOPT_CAINFO, ca_file);
  return poster;
}

/* Returns once the API has accepted the body. */
static void post(const struct poster *poster, const char *body, size_t bytes) {
  long answer = 0;
  curl_easy_setopt(poster->handle, CURLOPT_POSTFIELDS, body);
  curl_easy_setopt(poster->handle, CURLOPT_POSTFIELDSIZE, (long)bytes);
  CURLcode code = curl_easy_perform(poster->handle);
  if (code != CURLE_OK)
    fail("post", curl_easy_strerror(code));
  curl_easy_getinfo(poster->handle, CURLINFO_RESPONSE_CODE, &answer);
  if (answer != 204)
    fail("post", "another answer than 204");
}

static void close_poster(struct poster *poster) {
  curl_easy_cleanup(poster->handle);
  curl_slist_free_all(poster->headers);
  curl_global_cleanup();
}

#endif
