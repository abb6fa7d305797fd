"""A gRPC server on the C core, for one test: health checking, and a service of words (`test.Chat`).

It lets a call in if an HTTP resource server, asked with the call's own `authorization`, does: 401 there is
UNAUTHENTICATED here, and 403 is PERMISSION_DENIED. Behind a gateway it lets everyone in. It is driven by lines of JSON on standard input,
`{"do": name, …}`, each answered by one line on standard output, and ends when its standard input does: when its
owner is gone.
"""

import json
import sys
import threading
import urllib.error
import urllib.request
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

# Through no proxy, whatever the environment says.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
CODES = {401: grpc.StatusCode.UNAUTHENTICATED, 403: grpc.StatusCode.PERMISSION_DENIED}


class Guard(grpc.ServerInterceptor):
    """Refuses calls, at once or after it has sent response headers."""

    def __init__(self, resource):
        self.resource = resource
        self.headers_first = False
        self.seen = []

    def judge(self, metadata):
        """The status of a call, or `None`."""
        if self.resource is None:
            return None
        headers = {key: value for key, value in metadata if key == 'authorization'}
        try:
            DIRECT.open(urllib.request.Request(self.resource, headers=headers)).close()
        except urllib.error.HTTPError as error:
            return CODES.get(error.code, grpc.StatusCode.INTERNAL)
        return None

    def intercept_service(self, continuation, details):
        handler = continuation(details)
        status = self.judge(details.invocation_metadata)
        self.seen.append(
            {
                'path': details.method,
                'status': status.name if status else 'OK',
                'metadata': {k: v for k, v in details.invocation_metadata if isinstance(v, str)},
            }
        )
        if handler is None or status is None:
            return handler

        def refuse(_, context):
            if self.headers_first:
                context.send_initial_metadata((('x-early', 'yes'),))
            context.abort(status, 'who?')

        def refuse_stream(request, context):
            refuse(request, context)
            yield from ()

        make = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(handler.request_streaming, handler.response_streaming)]
        return make(
            refuse_stream if handler.response_streaming else refuse,
            handler.request_deserializer,
            handler.response_serializer,
        )


class Chat:
    """Texts as they are; the methods are those of the client in `words.rs`."""

    def __init__(self, guard):
        self.guard = guard
        self.heard = []
        self.turns = threading.Semaphore(0)

    def begin(self):
        self.heard.append([])
        return self.heard[-1]

    def check(self, context):
        status = self.guard.judge(context.invocation_metadata())
        if status:
            context.abort(status, 'no longer')

    def say(self, text, _):
        self.begin().append(text)
        return text

    def tell(self, texts, _):
        heard = self.begin()
        heard.extend(texts)
        return ','.join(heard)

    def follow(self, _, context):
        yield 'first'
        while context.is_active():
            if self.turns.acquire(timeout=0.05):
                self.check(context)
                yield 'next'

    def late(self, _, context):
        context.send_initial_metadata(())
        while context.is_active():
            if self.turns.acquire(timeout=0.05):
                self.check(context)
                yield 'in time'
                return

    def talk(self, texts, context):
        # The head at once: the other side waits for it before it has anything to say.
        context.send_initial_metadata(())
        heard = self.begin()
        for text in texts:
            self.check(context)
            heard.append(text)
            yield text

    def handler(self):
        text = {'request_deserializer': bytes.decode, 'response_serializer': str.encode}
        methods = {
            'Say': grpc.unary_unary_rpc_method_handler(self.say, **text),
            'Tell': grpc.stream_unary_rpc_method_handler(self.tell, **text),
            'Follow': grpc.unary_stream_rpc_method_handler(self.follow, **text),
            'Late': grpc.unary_stream_rpc_method_handler(self.late, **text),
            'Talk': grpc.stream_stream_rpc_method_handler(self.talk, **text),
        }
        return grpc.method_handlers_generic_handler('test.Chat', methods)


class Server:
    """What a test can tell it."""

    def listen(self, resource=None):
        """Serve on a free port; `resource` is the URI that judges, if any does."""
        self.guard = Guard(resource)
        self.chat = Chat(self.guard)
        self.health = health.HealthServicer()
        self.health.set('', health_pb2.HealthCheckResponse.SERVING)
        pool = futures.ThreadPoolExecutor(max_workers=16)
        self.server = grpc.server(pool, interceptors=(self.guard,))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.server.add_generic_rpc_handlers((self.chat.handler(),))
        port = self.server.add_insecure_port('127.0.0.1:0')
        self.server.start()
        return {'port': port}

    def headers_first(self):
        """Send response headers before every refusal from now on."""
        self.guard.headers_first = True

    def not_serving(self):
        self.health.set('', health_pb2.HealthCheckResponse.NOT_SERVING)

    def turn(self):
        """Let a stream go on, by one message."""
        self.chat.turns.release()

    def seen(self):
        """Every call, with its verdict at the door."""
        return self.guard.seen

    def heard(self):
        """What every call that was let in received."""
        return self.chat.heard


def main():
    server = Server()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {'ok': getattr(server, command.pop('do'))(**command)}
        except Exception as error:
            answer = {'error': repr(error)}
        print(json.dumps(answer), flush=True)


main()
