// The program faha-check: see tools/check.h.
#include <cstdio>

#include "tools/check.h"

int main(int argc, char** argv) { return faha::Check(argc, argv, stdout, stderr); }
