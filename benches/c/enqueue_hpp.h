/* What enqueue_hpp.c, the contest in C, and enqueue_hpp.cpp, the contender in C++, know of each other. */
#ifndef ENQUEUE_HPP_H
#define ENQUEUE_HPP_H

#ifdef __cplusplus
extern "C" {
#endif

void *hpp_open(const char *directory, const char *endpoint);
void hpp_enqueue(void *client, const char *token, const char *user, const char *event, const char *value);

#ifdef __cplusplus
}
#endif

#endif
