// expect: compile without -fno-rtti
#include "brood/brood.hpp"
