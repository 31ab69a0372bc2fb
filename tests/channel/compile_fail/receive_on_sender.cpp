// expect-clang: invalid reference to function 'recv'
// expect-gcc: no matching function for call to
#include "brood/channel/pipe.hpp"

brood::task<int> f(brood::sender<int> to) { co_return co_await to.recv(); }
