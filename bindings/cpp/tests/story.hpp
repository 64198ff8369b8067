// What the tests share: a list of named stories, a check, a spool, and a look into the sandbox's ledger.
//
// A story runs alone in a process that `meditopia sandbox` has started; it says how many different
// events have to arrive, and the sandbox counts them. `wrapper` lists the stories, `wrapper NAME` runs one.
#pragma once

#include <meditopia.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

struct story {
  const char* name;
  int events;           // that the API accepts
  const char* options;  // of the sandbox
  void (*run)();
};

inline std::vector<story>& stories() {
  static std::vector<story> all;
  return all;
}

struct told {
  told(const char* name, int events, const char* options, void (*run)()) { stories().push_back({name, events, options, run}); }
};

#define STORY(name, events, options)             \
  static void name();                            \
  static const told told_##name{#name, events, options, name}; \
  static void name()

inline void check(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  std::cerr << file << ':' << line << ": " << what << '\n';
  _exit(1);
}
#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

#define FAIL(what) check(false, what, __FILE__, __LINE__)

/// Checks that `statement` throws exactly this class with this code; gives the failure.
#define THROWS(type, kind, statement)                                                      \
  [&] {                                                                                    \
    try {                                                                                  \
      statement;                                                                           \
    } catch (const meditopia::error& error) {                                              \
      if (typeid(error) != typeid(type)) std::cerr << typeid(error).name() << ": " << error.what() << '\n'; \
      check(typeid(error) == typeid(type), "throws " #type ": " #statement, __FILE__, __LINE__); \
      check(error.code() == kind, "is " #kind ": " #statement, __FILE__, __LINE__);        \
      check(error.what()[0] != '\0' && error.failure().message() == error.what(), "has a message", __FILE__, __LINE__); \
      return error.failure();                                                              \
    }                                                                                      \
    check(false, "throws: " #statement, __FILE__, __LINE__);                               \
    std::abort();                                                                          \
  }()

/// Of this story's spool and sandbox. Nothing goes before a flush asks for it, but a full batch.
inline meditopia::config options() {
  meditopia::config config;
  config.load_env().set("flush_interval_ms", std::chrono::hours{1});
  return config;
}

inline const std::chrono::seconds soon{20};

/// What the sandbox answers to GET `path`: a ledger.
inline std::string ledger(const std::string& path) {
  const std::string endpoint = std::getenv("MEDITOPIA_ENDPOINT");  // http://127.0.0.1:PORT/...
  const auto port = std::stoul(endpoint.substr(endpoint.find(':', 5) + 1));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
  CHECK(write(connection, request.data(), request.size()) == static_cast<ssize_t>(request.size()));
  std::string answer;
  char part[4096];
  for (ssize_t read_now; (read_now = read(connection, part, sizeof part)) > 0;)
    answer.append(part, static_cast<std::size_t>(read_now));
  close(connection);
  return answer;
}
