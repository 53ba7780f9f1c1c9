"""The name under which images and scripts start the worker pool; it lives in `pipelines.beam`."""

from pipelines.beam.worker_pool import main

if __name__ == "__main__":
    main()
