"""The pages for people: server-rendered, of the same jobs that the API has.

Every address of `/v1` that a page needs is the API's own; what is here reads jobs, and renders.
"""
