// What the server does beside its job: it counts, and it misbehaves on request.

export class Conduct {
  // By path and status; at the token endpoint by grant type and status too. A request that a fault answered, so that
  // the server never saw it, has the grant type `-`. A lost answer counts as `lost`, after the status it had.
  stats = { paths: {}, grants: {}, revoked: 0 };

  #faults = [];

  #held = [];

  #watchers = [];

  // A fault is for the next request for its `path`, which is the token endpoint unless it is named. `when` it strikes:
  // `before` the server sees the request, or `after` the server has dealt with it and before the answer leaves. Then
  //   `delay`  so many milliseconds go by,
  //   `hold`   the request waits until it is released,
  //   `drop`   the connection is closed without an answer,
  //   `answer` `{ status, headers, body }` is the answer, whatever the server said.
  plan({ path = '/token', when = 'before', ...fault }) {
    this.#faults.push({ path, when, ...fault });
  }

  held(count) {
    return new Promise((resolve) => {
      this.#watchers.push({ count, resolve });
      this.#tell();
    });
  }

  release() {
    this.#held.splice(0).forEach((resume) => resume());
  }

  #tell() {
    this.#watchers = this.#watchers.filter(({ count, resolve }) => {
      if (this.#held.length < count) return true;
      resolve();
      return false;
    });
  }

  // The middleware.
  async around(ctx, next) {
    const found = this.#faults.findIndex(({ path }) => path === ctx.path);
    const [fault] = found < 0 ? [] : this.#faults.splice(found, 1);
    if (fault?.when === 'before') {
      const answered = await this.#strike(fault, ctx);
      if (answered) {
        this.#count(ctx, answered);
        return;
      }
    }
    await next();
    const status = String(ctx.status);
    const answered = fault?.when === 'after' ? await this.#strike(fault, ctx) : undefined;
    this.#count(ctx, answered ? `${status} ${answered}` : status);
  }

  // What the client sees instead of the server's answer, if anything.
  async #strike({ delay, hold, drop, answer }, ctx) {
    if (delay) {
      await new Promise((resolve) => {
        setTimeout(resolve, delay);
      });
    }
    if (hold) {
      await new Promise((resolve) => {
        this.#held.push(resolve);
        this.#tell();
      });
    }
    if (drop) {
      ctx.respond = false;
      ctx.req.socket.destroy();
      return 'lost';
    }
    if (answer) {
      ctx.status = answer.status;
      ctx.set(answer.headers ?? {});
      ctx.body = answer.body ?? '';
      return String(answer.status);
    }
    return undefined;
  }

  #count(ctx, outcome) {
    const { paths, grants } = this.stats;
    const add = (counts, name) => {
      counts[name] ??= {};
      counts[name][outcome] = (counts[name][outcome] ?? 0) + 1;
    };
    add(paths, ctx.path);
    if (ctx.path === '/token') add(grants, ctx.oidc?.params?.grant_type ?? '-');
  }
}
