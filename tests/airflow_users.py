"""A real Airflow in which users log in and have different roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tools.real_airflow import RealAirflow

#: Roles of Airflow's simple auth manager. A viewer may read DAGs, but no connections.
ROLES = ("viewer", "op", "admin")


class AirflowWithUsers(RealAirflow):
    """A real Airflow with a user for each role, whose name is that of the role. Its own requests are an admin's.

    :param dags_folder: folder of the DAG files.
    :param passwords_file: path of the file with the passwords, which is created.
    :param env: environment variables of all components.
    """

    def __init__(self, dags_folder: Path, passwords_file: Path, env: Mapping[str, str]) -> None:
        passwords_file.write_text(json.dumps({role: get_password(role) for role in ROLES}), encoding="utf-8")
        users = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{role}:{role}" for role in ROLES),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords_file),
        }
        super().__init__(dags_folder, env={**env, **users}, poke_interval=3)

    def log_in(self) -> None:
        """Get an admin's token for all further requests."""
        self._http.headers["Authorization"] = f"Bearer {self.create_token('admin')}"

    def create_token(self, role: str) -> str:
        """Return a token of the user with a role."""
        response = httpx.post(
            f"{self.url}/auth/token",
            json={"username": role, "password": get_password(role)},
            timeout=30,
            trust_env=False,
        )
        response.raise_for_status()
        return str(response.json()["access_token"])

    def restart_api_server(self, env: Mapping[str, str]) -> None:
        """Restart the api-server with further environment variables, and wait until it serves."""
        self.terminate("api-server")
        self._env.update(env)
        self.start("api-server")
        self.wait_until_ready()

    def open_page(self, role: str | None, path: str = "/flowruns/", **options: Any) -> httpx.Response:
        """Return the response to a browser's request: the user's token is in a cookie.

        :param role: the user, None for nobody.
        :param path: what is requested.
        """
        cookies = {"_token": self.create_token(role)} if role else {}
        return httpx.get(f"{self.url}{path}", cookies=cookies, timeout=60, trust_env=False, **options)


def get_password(role: str) -> str:
    """Return a user's password."""
    return f"password of the {role}"
