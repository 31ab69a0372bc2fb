// socket_peer connect|listen ADDRESS: sends every message back until the other side is gone. Reads the key from standard
// input; `listen` writes its address.
#include <fmt/core.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "brood/channel/listener.hpp"
#include "brood/runtime/runtime.hpp"

namespace {

brood::task<> echo(brood::connection<std::string, std::string> c) {
  while (auto message = co_await c.next()) {
    const std::string text = std::move(*message);
    co_await c.send(text);
  }
}

brood::task<> serve(std::string mode, std::string where, std::string key) {
  if (mode == "listen") {
    const brood::listener l(where, key);
    fmt::print("{}\n", l.address().text());
    std::fflush(stdout);
    auto c = co_await l.accept<std::string, std::string>();
    co_await echo(std::move(c));
  } else {
    auto c = co_await brood::connect<std::string, std::string>(where, key);
    co_await echo(std::move(c));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string key;
  std::getline(std::cin, key);
  try {
    brood::runtime loop;
    loop.run_until_complete(serve(argv[1], argv[2], key));
  } catch (const brood::authentication_error& e) {
    fmt::print("{}\n", e.what());
    return 3;
  } catch (const std::exception& e) {
    fmt::print("{}\n", e.what());
    return 1;
  }
}
