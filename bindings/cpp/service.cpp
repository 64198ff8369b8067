// A service that takes events from programs on this host and answers when they are safe:
//
//   service [CONFIG.toml]      prints where it listens, on loopback
//
// A client sends a line an event, TOKEN <tab> USER <tab> EVENT [<tab> VALUE], and gets "ok" or the
// reason why not for each. A thread serves each connection; all of them share one meditopia::client.
// SIGTERM or SIGINT stops it: connections end, and what is queued is delivered within 10 seconds or
// waits in the spool.

#include <meditopia.hpp>

#include <arpa/inet.h>
#include <csignal>
#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace {

/// Takes one field off a line; nothing is left behind the last one.
std::optional<std::string_view> field(std::optional<std::string_view>& line) {
  if (!line) return std::nullopt;
  const auto tab = line->find('\t');
  const auto first = line->substr(0, tab);
  line = tab == std::string_view::npos ? std::nullopt : std::optional(line->substr(tab + 1));
  return first;
}

std::string answer(meditopia::client& client, std::string_view text) try {
  std::optional line{text};
  const auto token = field(line), user = field(line), event = field(line);
  if (!event) return "not an event\n";
  client.enqueue(*token, *user, *event, line);
  return "ok\n";
} catch (const meditopia::error& error) {
  return std::string(error.what()) + '\n';
}

/// One connection, until its end: lines in, answers out.
void serve(meditopia::client& client, int connection) {
  std::string waiting;
  char part[4096];
  for (ssize_t got; (got = read(connection, part, sizeof part)) > 0;) {
    waiting.append(part, static_cast<std::size_t>(got));
    std::string answers;
    std::size_t begin = 0;
    for (std::size_t end; (end = waiting.find('\n', begin)) != std::string::npos; begin = end + 1)
      answers += answer(client, std::string_view(waiting).substr(begin, end - begin));
    waiting.erase(0, begin);
    if (send(connection, answers.data(), answers.size(), MSG_NOSIGNAL) < 0) break;
  }
}

/// The connections that are open, so that they can be ended.
class connections {
 public:
  explicit connections(meditopia::client& client) : client_(client) {}

  void add(int descriptor) {
    const std::lock_guard lock(mutex_);
    threads_.emplace_back([this, descriptor, place = descriptors_.insert(descriptors_.end(), descriptor)] {
      serve(client_, descriptor);
      const std::lock_guard lock(mutex_);
      descriptors_.erase(place);
      close(descriptor);
    });
  }

  void end() {
    {
      const std::lock_guard lock(mutex_);
      for (const int descriptor : descriptors_) shutdown(descriptor, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
  }

 private:
  meditopia::client& client_;
  std::mutex mutex_;
  std::list<int> descriptors_;
  std::list<std::thread> threads_;
};

int listen_on_loopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, generic, size) != 0 || listen(listener, 64) != 0 || getsockname(listener, generic, &size) != 0)
    throw std::runtime_error("cannot listen on loopback");
  std::cout << "listening on 127.0.0.1:" << ntohs(address.sin_port) << std::endl;
  return listener;
}

void run(meditopia::client& client, const sigset_t& stop_signals) {
  connections open(client);
  const int listener = listen_on_loopback();
  std::thread accepting([&] {
    for (int connection; (connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) open.add(connection);
  });
  int signal = 0;
  sigwait(&stop_signals, &signal);
  shutdown(listener, SHUT_RDWR);
  accepting.join();
  open.end();
  close(listener);
}

}  // namespace

int main(int argc, char** argv) try {
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &stop_signals, nullptr);  // before any thread is there

  meditopia::config config;
  if (argc > 1) config.load_file(argv[1]);
  config.load_env();
  meditopia::client client{config};
  client.set_log([](const meditopia::log_record& record) { std::clog << "meditopia: " << record.message << '\n'; });

  run(client, stop_signals);

  const auto outcome = client.try_close(std::chrono::seconds{10});
  std::cout << "delivered " << outcome.report().delivered << ", rejected " << outcome.report().rejected << ", pending "
            << outcome.report().pending << '\n';
  return outcome || outcome.error().retryable() ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
