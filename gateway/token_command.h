/**
 * `sophia-gateway token mint` and `token check`: tokens for development, made and judged by the gateway's own code.
 */
#ifndef SOPHIA_TOKEN_COMMAND_H
#define SOPHIA_TOKEN_COMMAND_H

/** argv[0] is "token". Returns the exit code: 0 done, or the token is good; 1 it is not; 2 wrong command line, configuration or key. */
int token_command(int argc, char **argv);

#endif
