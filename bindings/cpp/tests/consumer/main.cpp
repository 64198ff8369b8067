// Delivers one event, or says why not.
#include <meditopia.hpp>

#include <iostream>

int main() try {
  meditopia::config config;
  config.load_env();
  meditopia::client client{config};
  client.enqueue("token", "user", meditopia::event_type::signin);
  return client.close(std::chrono::seconds{20}).delivered == 1 ? 0 : 1;
} catch (const meditopia::error& error) {
  std::cerr << error.failure().name() << ": " << error.what() << '\n';
  return 1;
}
