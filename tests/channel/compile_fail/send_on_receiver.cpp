// expect-clang: no matching member function for call to 'send'
// expect-gcc: no matching function for call to
#include "brood/channel/pipe.hpp"

brood::task<> f(brood::receiver<int> from) { co_await from.send(1); }
