/* `depthkv describe MODEL`: what a model file holds, and what its cache takes. */
#ifndef HARNESS_DESCRIBE_MODEL_H
#define HARNESS_DESCRIBE_MODEL_H

/* 1 when `name` can only mean a file: it has a folder or an ending in it, or there is such a file. */
int describe_model_is_meant(const char *name);
/* Prints it as text or as one JSON object on a line; no weight is read. An exit code. */
int describe_model(const char *name, int json);

#endif
