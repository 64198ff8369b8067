// Lists the stories, or runs one.
#include "story.hpp"

#include <cstring>

int main(int argc, char** argv) {
  for (const story& one : stories()) {
    if (argc < 2) {
      std::cout << one.name << ' ' << one.events << ' ' << one.options << '\n';
    } else if (std::strcmp(one.name, argv[1]) == 0) {
      try {
        one.run();
        return 0;
      } catch (const meditopia::error& error) {
        std::cerr << one.name << ": " << error.failure().name() << ": " << error.what() << '\n';
        return 1;
      }
    }
  }
  return argc < 2 ? 0 : 2;
}
