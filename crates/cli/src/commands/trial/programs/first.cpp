#include <iostream>
#include <meditopia.hpp>

int main() {
  meditopia::config config;
  config.load_env();
  meditopia::client client{config};
  client.enqueue("user-token-1", "user-1", meditopia::event_type::video, "morning calm");
  const auto report = client.close(std::chrono::seconds{30});
  std::cout << report.delivered << " delivered, " << report.rejected << " rejected\n";
}
