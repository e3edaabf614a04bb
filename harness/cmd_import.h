/* `depthkv import`: a GGUF file or a Hugging Face folder becomes a model file. */
#ifndef HARNESS_CMD_IMPORT_H
#define HARNESS_CMD_IMPORT_H

int cmd_import(int argc, char **argv);

#endif
