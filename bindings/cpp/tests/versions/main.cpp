// Queues numbered events of one user and sees them delivered, with whatever library the loader finds: versions USER EVENTS
#include <meditopia.hpp>

#include <iostream>
#include <string>

int main(int, char** argv) try {
  meditopia::config config;
  config.load_env().set("flush_interval_ms", std::chrono::milliseconds{20});
  meditopia::client client{config};
  const int events = std::stoi(argv[2]);
  for (int number = 0; number < events; ++number) client.enqueue("token", argv[1], "video", std::to_string(number));
  client.flush(std::chrono::seconds{40});
  std::cout << meditopia::version() << '\n';
} catch (const meditopia::error& error) {
  std::cout << error.failure().name() << ": " << error.what() << '\n';
  return 1;
}
