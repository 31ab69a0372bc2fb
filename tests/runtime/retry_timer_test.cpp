// retry_timer: what is tried again until it is done.
#include "runtime/retry_timer.hpp"

#include <stdexcept>

#include "brood/runtime/detail/local_event.hpp"
#include "run_clean.hpp"
#include "runtime/log.hpp"

using brood::task;
using brood::detail::retry_timer;

TEST_CASE("a retry timer constructed and never used leaves nothing") {
  run_clean([]() -> task<> {
    retry_timer unused(brood::executor::current(), [] { return false; });
    co_return;
  });
}

TEST_CASE("an attempt that throws does not end the program, and is made again") {
  brood::detail::logging.level = brood::log_level::silent;
  run_clean([]() -> task<> {
    int attempts = 0;
    brood::detail::local_event done;
    retry_timer retry(brood::executor::current(), [&] {
      if (++attempts < 3) throw std::runtime_error("not yet");
      done.set();
      return false;
    });
    retry.start();
    co_await done.wait();
    CHECK(attempts == 3);
  });
}
