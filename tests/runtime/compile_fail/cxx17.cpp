// expect: brood needs C++20
#include "brood/brood.hpp"
