/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isthmusd: arguments, configuration, run.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/config.h"
#include "gateway/daemon.h"

#define USAGE_STATUS 2

struct arguments {
	const char *file;
	const char *dump; /* NULL: not asked for */
	bool check;
};

static const char help[] =
	"usage: isthmusd [-c FILE] [--check | --dump-config[=WHAT]]\n\n"
	"  -c, --config FILE     the configuration; without it, a server for this machine alone\n"
	"      --check           say what is wrong with it and the files it names, and end\n"
	"      --dump-config     say what holds, and where it comes from, and end;\n"
	"                        =sample: the documented sample, =manual: isthmus.conf(5)\n"
	"  -h, --help\n  -V, --version\n\n"
	"Status: 0 ended or good; 1 failed or wrong; 2 wrong usage.\n";

static int write_out(struct buf *b)
{
	bool whole =
		!buf_err(b) && fwrite(b->data, 1, b->len, stdout) == b->len && fflush(stdout) == 0;

	buf_release(b);
	return whole ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int dump(const struct config *c, const char *what)
{
	struct buf b = BUF_INIT(16u << 20);

	if (strcmp(what, "current") == 0) {
		config_table_dump(&config_keys, c, &b);
	} else if (strcmp(what, "sample") == 0) {
		config_sample(&b);
	} else if (strcmp(what, "manual") == 0) {
		config_manual(&b);
	} else {
		(void)fprintf(
			stderr,
			"isthmusd: --dump-config has no '%s', but current, sample and manual\n",
			what);
		return USAGE_STATUS;
	}
	return write_out(&b);
}

static int check(struct config *c, const char *file, struct buf *errors)
{
	if (daemon_check(c, DAEMON_CHECK_ALL, errors)) {
		(void)fwrite(errors->data, 1, errors->len, stderr);
		return EXIT_FAILURE;
	}
	(void)printf("%s: good\n", file ? file : "defaults");
	return EXIT_SUCCESS;
}

/* Takes c. *ret_again: to be served again with it; NULL: it is the end. */
static int serve_once(struct config *c, const char *file, struct buf *errors, struct config **ret_again)
{
	const struct daemon_options o = { .config = c,
					  .config_file = file,
					  .version = PACKAGE_VERSION };
	struct fault fault = { 0 };
	struct daemon *d;
	*ret_again = NULL;
	bool good = daemon_check(c, DAEMON_CHECK_START, errors) == ERR_NONE;

	if (good && daemon_start(&o, &d, &fault)) {
		config_add_fault(c, &fault, errors);
		good = false;
	}
	if (!good) {
		daemon_log_errors(errors);
		config_free(c);
		return EXIT_FAILURE;
	}
	enum err err = daemon_run(d);
	if (err)
		log_error("ended by an error err=%s", err_name(err));
	daemon_stop(d, ret_again);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int serve(struct config *c, const char *file, struct buf *errors)
{
	int status = EXIT_SUCCESS;

	while (c && status == EXIT_SUCCESS)
		status = serve_once(c, file, errors, &c);
	config_free(c);
	return status;
}

static int parse(int argc, char **argv, struct arguments *ret_arguments)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, 'k' },
		{ "dump-config", optional_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 },
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		switch (letter) {
		case 'c':
			ret_arguments->file = optarg;
			break;
		case 'k':
			ret_arguments->check = true;
			break;
		case 'd':
			ret_arguments->dump = optarg ? optarg : "current";
			break;
		case 'h':
			(void)fputs(help, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			(void)puts("isthmusd " PACKAGE_VERSION);
			exit(EXIT_SUCCESS);
		default:
			return USAGE_STATUS;
		}
	}
	if (optind == argc)
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "isthmusd: what is meant by '%s'? See isthmusd --help\n",
		      argv[optind]);
	return USAGE_STATUS;
}

int main(int argc, char **argv)
{
	CLEANUP(buf_release) struct buf errors = BUF_INIT(CONFIG_ERROR_BYTES_MAX);
	struct arguments a = { 0 };
	struct config *c;
	int status = parse(argc, argv, &a);
	if (status != EXIT_SUCCESS)
		return status;
	if (config_load(a.file, &c, &errors)) {
		(void)fwrite(errors.data, 1, errors.len, stderr);
		return EXIT_FAILURE;
	}
	if (!a.dump && !a.check)
		return serve(c, a.file, &errors);
	status = a.dump ? dump(c, a.dump) : check(c, a.file, &errors);
	config_free(c);
	return status;
}
