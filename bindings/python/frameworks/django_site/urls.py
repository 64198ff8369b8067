"""A view that reports an event."""

from django.http import JsonResponse
from django.urls import path
from events import report


def watched(request, user, value):
    return JsonResponse({"queued": report("token-" + user, user, "video", value)})


urlpatterns = [path("watched/<user>/<value>", watched)]
