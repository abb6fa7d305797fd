"""A first-party back end on Django, with its own CSRF protection and its own sessions.

The session cookie is what refreshes: each refresh gives the session another key, so that the cookie before is
worth nothing. It stands behind a proxy with TLS. Commands come as lines of JSON on standard input, and are
answered so on standard output; it ends when they do.
"""

import json
import logging
import secrets
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

settings.configure(
    SECRET_KEY=secrets.token_hex(32),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_COOKIE_SECURE=True,
    SESSION_COOKIE_PATH="/auth/",
    CSRF_COOKIE_SECURE=True,
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    CSRF_FAILURE_VIEW=f"{__name__}.refused",
    LOGGING_CONFIG=None,
)
# Every refusal is one that a test asked for.
logging.disable(logging.WARNING)

lock = threading.Lock()
access_tokens = set()
counts = {}


def note(line):
    with lock:
        counts[line] = counts.get(line, 0) + 1


def count(request):
    note(f"{request.method} {request.path}")


def refused(_request, reason=""):
    note(reason)
    return HttpResponse(status=403)


@csrf_exempt
@require_POST
def login(request):
    request.session.cycle_key()
    request.session["user"] = "ada"
    get_token(request)
    return HttpResponse(status=204)


@require_GET
def csrf(request):
    count(request)
    get_token(request)
    return HttpResponse(status=204)


@require_POST
def refresh(request):
    count(request)
    if "user" not in request.session:
        return JsonResponse({"detail": "log in"}, status=401)
    request.session.cycle_key()
    token = secrets.token_urlsafe()
    with lock:
        access_tokens.add(token)
    return JsonResponse({"data": {"accessToken": token, "expiresIn": 600}})


@require_POST
def logout(request):
    count(request)
    request.session.flush()
    return HttpResponse(status=204)


@require_GET
def orders(request):
    with lock:
        known = request.headers.get("Authorization", "").removeprefix("Bearer ") in access_tokens
    if known and "Cookie" not in request.headers:
        return JsonResponse({"orders": ["tea"]})
    return HttpResponse(status=401)


def obey(command):
    with lock:
        match command["do"]:
            case "port":
                return server.server_port
            case "expire":
                access_tokens.clear()
            case "counts":
                return counts


urlpatterns = [
    path("auth/login", login),
    path("auth/csrf", csrf),
    path("auth/refresh", refresh),
    path("auth/logout", logout),
    path("orders", orders),
]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 512


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


django.setup()
from django.core.wsgi import get_wsgi_application  # noqa: E402

server = make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    print(json.dumps({"ok": obey(json.loads(line))}), flush=True)
