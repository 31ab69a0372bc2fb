// What the helper programs share.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "brood/process/run.hpp"

/// The process model that BROOD_TEST_MODEL names.
inline brood::options settings_under_test() {
  const char* name = std::getenv("BROOD_TEST_MODEL");
  const std::string_view model = name != nullptr ? name : "automatic";
  brood::options settings;
  if (model == "siblings") settings.model = brood::process_model::siblings;
  if (model == "relay") settings.model = brood::process_model::relay;
  if (model == "exec") settings.model = brood::process_model::exec;
  return settings;
}

/// One line to the test, at once.
inline void tell(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

/// A check that ends the program.
inline void require(bool holds, std::string_view what) {
  if (holds) return;
  tell(what);
  _exit(1);
}
