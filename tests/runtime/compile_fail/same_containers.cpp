// expect: nothing
// link
#include "brood/coroutine/sleep.hpp"
#include "brood/runtime/runtime.hpp"

int main() {
  brood::runtime loop;
  loop.run_until_complete(brood::yield());
}
