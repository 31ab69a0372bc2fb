// The least that shows that a program has all it needs of the library.
#include <brood/brood.hpp>
#include <cstdio>

int square(int x) { return x * x; }

brood::task<> app() {
  auto child = co_await brood::spawn<square>(7);
  std::printf("%d\n", co_await child.result());
  try {
    co_await brood::command("/nonexistent").status();
  } catch (const std::system_error& e) {  // an exception that the library throws
    std::printf("%s\n", e.what());
  }
  try {
    static_cast<void>(brood::decode<std::string>({}));
  } catch (const brood::decode_error&) {  // one that this program's own code throws, from a template
    std::printf("cannot decode\n");
  }
}

int main(int argc, char** argv) { return brood::run(argc, argv, app); }
