#include "brood/coroutine/error.hpp"

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

void detail::await_once::refuse() {
  throw std::logic_error(
      "brood: an operation is awaited once, and this one was awaited or moved from before");
}

}  // namespace brood
