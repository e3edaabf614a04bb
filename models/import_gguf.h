/* A GGUF file of an architecture that architecture.h knows as an import source. */
#ifndef MODELS_IMPORT_GGUF_H
#define MODELS_IMPORT_GGUF_H

#include "models/import.h"

int import_gguf_open(const char *path, struct import_source *s, struct err *e);

#endif
