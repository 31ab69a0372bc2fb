#include "brood/coroutine/error.hpp"

#include "brood/coroutine/detail/forked.hpp"

namespace brood {
namespace {

// Copies of an exception share its text, so a cancelled wait allocates none.
const error& cancellation() {
  static const error text("the operation was cancelled");
  return text;
}

}  // namespace

cancelled::cancelled() : error(cancellation()) {}

wrong_thread::wrong_thread()
    : std::logic_error(
          "brood: this belongs to a loop that another thread runs; use it there, which runtime::post asks "
          "for") {}

forked_process::forked_process()
    : error(
          "brood: the application forked this process by itself, and what it inherited is its parent's; "
          "children "
          "that use it are started with brood::spawn, and another program with exec") {}

bool detail::forked = false;
std::uint64_t detail::forks = 0;

void detail::await_once::refuse() {
  throw std::logic_error(
      "brood: an operation is awaited once, and this one was awaited or moved from before");
}

}  // namespace brood
