// One Apollo Server of one test, as it comes from npm. Arguments: how it refuses a dead token, and where it
// asks whether one is alive. It writes its port to standard output, and ends when its standard input does:
// when its owner is gone.
import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
import { GraphQLError } from 'graphql';

const [refusal, introspection] = process.argv.slice(2);

const typeDefs = `#graphql
  type User { name: String! }
  type Order { id: Int!, owner: User }
  type Query {
    me: User!
    maybe: User
    version: String!
  }
  type Mutation {
    order(drink: String!): Order!
    # Needs no token, and returns nothing.
    note: String
    # Needs no token; who did it is told to those who have one.
    anonymous: Order
  }
`;

// What was done, by field.
const done = { order: 0, note: 0, anonymous: 0 };

function unauthenticated(http) {
  return new GraphQLError('The token is dead.', { extensions: { code: 'UNAUTHENTICATED', http } });
}

function guarded(resolve) {
  return (parent, args, { alive }) => {
    if (!alive) throw unauthenticated();
    return resolve(args);
  };
}

const ada = () => ({ name: 'Ada' });
const resolvers = {
  Query: { me: guarded(ada), maybe: guarded(ada), version: () => '1' },
  Mutation: {
    order: guarded(() => ({ id: ++done.order })),
    note: () => {
      done.note += 1;
      return null;
    },
    anonymous: () => ({ id: ++done.anonymous }),
  },
  Order: { owner: guarded(ada) },
};

const server = new ApolloServer({
  typeDefs,
  resolvers,
  allowBatchedHttpRequests: true,
  includeStacktraceInErrorResponses: false,
  // Tells the test what was done.
  plugins: [{
    async requestDidStart() {
      return {
        async willSendResponse({ response }) {
          response.http.headers.set('x-done', JSON.stringify(done));
        },
      };
    },
  }],
});

const { url } = await startStandaloneServer(server, {
  listen: { host: '127.0.0.1', port: 0 },
  async context({ req }) {
    const { authorization = '' } = req.headers;
    const { status } = await fetch(introspection, { headers: { authorization } });
    const alive = status === 200;
    if (!alive && refusal === 'context') throw unauthenticated();
    if (!alive && refusal === 'context-401') throw unauthenticated({ status: 401 });
    return { alive };
  },
});

process.stdin.on('end', () => process.exit()).resume();
process.stdout.write(`${new URL(url).port}\n`);
